"""Models and folders of sounds for the tests of libraries."""

import json

import pytest
import soundfile

from slapkit.models.embed import Embedder
from slapkit.search import Library
from tests.search.library_parts import RATE, make_model, sound


@pytest.fixture(scope="session")
def model():
    return make_model()


@pytest.fixture
def build(model, tmp_path):
    """Build a library of a folder in another one."""
    return lambda root, out="out", by=model, **more: Library.build(root, by, out=tmp_path / out, progress=False, **more)


@pytest.fixture
def music(tmp_path):
    """Write a folder of sounds, `{name: seconds}`, and return it."""

    def make(files):
        root = tmp_path / "music"
        root.mkdir()
        for name, seconds in files.items():
            (root / name).parent.mkdir(exist_ok=True)
            soundfile.write(root / name, sound(sum(map(ord, name)), seconds), RATE)
        return root

    return make


@pytest.fixture
def embedded(monkeypatch):
    """The names of the files that were embedded, in order."""
    names, embed = [], Embedder.embed

    def counting(self, paths, hashes=None):
        names.extend(path.name for path in paths)
        return embed(self, paths, hashes)

    monkeypatch.setattr(Embedder, "embed", counting)
    return names


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A folder of 24 sounds of 2.5 s with a table: captions, split, style, instruments, tempo."""
    root = tmp_path_factory.mktemp("table") / "set"
    (root / "audio").mkdir(parents=True)
    with open(root / "metadata.jsonl", "w") as file:
        for i in range(24):
            name = f"audio/{i:02d}.ogg"
            soundfile.write(root / name, sound(i, 2.5), RATE)
            row = {"file_name": name, "captions": [f"caption {i}", f"another {i}"], "title": f"Title {i}", "rank": i}
            row |= {"split": ("train", "test")[i % 2], "style": ("jig", "reel", "air")[i % 3], "drums": i % 5 == 0}
            row |= {"instruments": (["flute"], ["violin", "flute"], ["harp"], ["piano"])[i % 4], "tempo_bpm": 60 + i}
            file.write(json.dumps(row) + "\n")
    return root
