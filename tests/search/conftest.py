"""Models and folders of sounds for the tests of libraries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from tests.search.library_parts import RATE, make_model, sound


@pytest.fixture(scope="session")
def model():
    return make_model()


@pytest.fixture(scope="session")
def other_model():
    return make_model(1)


@pytest.fixture
def music(tmp_path):
    """Write a folder of sounds, `{name: seconds}`, and return it."""

    def make(files: dict[str, float]) -> Path:
        root = tmp_path / "music"
        for name, seconds in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / name, sound(sum(map(ord, name)), seconds), RATE)
        return root

    return make


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """A folder of 24 sounds of 2.5 s with a table: captions, split, style, instruments, tempo."""
    root = tmp_path_factory.mktemp("table") / "set"
    (root / "audio").mkdir(parents=True)
    rows = []
    for i in range(24):
        soundfile.write(root / "audio" / f"{i:02d}.ogg", sound(i, 2.5), RATE)
        row = {"file_name": f"audio/{i:02d}.ogg", "captions": [f"caption {i}", f"another {i}"], "title": f"Title {i}"}
        row |= {"split": ("train", "test")[i % 2], "style": ("jig", "reel", "air")[i % 3], "drums": i % 5 == 0}
        row |= {"instruments": (["flute"], ["violin", "flute"], ["harp"], ["piano"])[i % 4]}
        rows.append(row | {"tempo_bpm": 60 + i, "rank": i})
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root
