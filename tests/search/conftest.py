"""Models and folders of real sounds for the tests of libraries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from slapkit.models.inference import Model  # noqa: E402
from tests.search.library_parts import RATE, make_model, sound  # noqa: E402


@pytest.fixture(scope="session")
def model() -> Model:
    return make_model()


@pytest.fixture(scope="session")
def other_model() -> Model:
    return make_model(1)


@pytest.fixture
def music(tmp_path):
    """Write a folder of sounds, `{name: seconds}`, and return it."""

    def make(files: dict[str, float], folder: str = "music") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for name, seconds in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound(sum(map(ord, name)), seconds), RATE)
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
        rows.append(
            {
                "file_name": f"audio/{i:02d}.ogg",
                "captions": [f"caption {i}", f"another {i}"],
                "split": ("train", "test")[i % 2],
                "title": f"Title {i}",
                "style": ("jig", "reel", "air")[i % 3],
                "instruments": (["flute"], ["violin", "flute"], ["harp"], ["piano"])[i % 4],
                "drums": i % 5 == 0,
                "tempo_bpm": 60 + i,
                "rank": i,
            }
        )
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root
