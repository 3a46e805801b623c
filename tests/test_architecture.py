"""docs/architecture.md: the three paths that it lists are those that the real thing takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slapkit.data import read
from slapkit.models.losses import slap_loss
from slapkit.search import Library
from slapkit.training.loop import Trainer
from tests.paths import holds_floats, holds_text, modules_passed
from tests.training.tones import make_tones, tiny

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
DRIVES = {"slapkit.training.loop"}  # hands on what others made
MOST = {"audio": 10, "caption": 9, "search": 9}


def listed(title: str) -> list[str]:
    """Return the modules that the page lists under a title, in order."""
    section = PAGE.read_text(encoding="utf-8").split(f"**{title}")[1].split("**", 2)[1]
    return re.findall(r"^\d+\. `(slapkit[\w.]+)`", section, re.MULTILINE)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("tones") / "tones", clips=24)


def one_step(root, folder):
    """From files to the loss of one step, nothing cached."""
    chosen = tiny({"batch_size": 8, "objective": "slap"})
    trainer = Trainer(chosen.model, chosen.train, read(root), folder / "out", folder / "cache", progress=False)
    trainer.step(0)


def test_an_audio_file_becomes_a_loss(tones, tmp_path):
    passed = modules_passed(lambda: one_step(tones.root, tmp_path), holds=holds_floats, until=slap_loss)
    passed = [name for name in passed if name not in DRIVES and name != "slapkit.models.encoders.text"]
    assert passed[0] == "slapkit.audio.decode" and passed[-1] == "slapkit.models.losses"
    assert set(passed) == set(listed("An audio file becomes a loss")) and len(passed) <= MOST["audio"]


def test_a_caption_becomes_a_loss(tones, tmp_path):
    captions = {caption for clip in tones for caption in clip.captions}
    words = modules_passed(lambda: one_step(tones.root, tmp_path / "a"), holds=holds_text(captions), until=slap_loss)
    numbers = modules_passed(lambda: one_step(tones.root, tmp_path / "b"), holds=holds_floats, until=slap_loss)
    of_audio = ("slapkit.audio.", "slapkit.models.encoders.cnn")
    passed = dict.fromkeys([*words, *(name for name in numbers if not name.startswith(of_audio))])
    passed = [name for name in passed if name not in DRIVES]
    assert passed[0] == "slapkit.data.tables" and passed[-1] == "slapkit.models.losses"
    assert set(passed) == set(listed("A caption becomes a loss")) and len(passed) <= MOST["caption"]


def test_words_become_a_search_result(tones, tmp_path):
    from tests.search.library_parts import make_model

    library = Library.build(tones.root, make_model(), out=tmp_path / "library", progress=False)
    passed = modules_passed(lambda: library.search("calm harp + strings", k=3))
    assert passed[0] == "slapkit.search.library"
    assert set(passed) == set(listed("Words become a search result")) and len(passed) <= MOST["search"]
