"""Words that a model never met: kept with its checkpoint, and said of a query."""

import json
from pathlib import Path

import pytest

import slapkit
from slapkit import training
from slapkit.data.dataset import AudioTextDataset, Clip
from slapkit.errors import CheckpointError
from slapkit.hub import start_from
from slapkit.search.query import ModelTower, QueryEncoder, unknown_words
from tests.training.tones import run, tiny


@pytest.mark.parametrize(
    "query, unknown",
    [
        ("slow flutes", []),
        ("Techno with a flute", ["techno"]),
        ("flute + gamelan - drums", ["gamelan", "drums"]),
        ("fast waltz", ["fast"]),
        ("café música", ["música"]),
        ("", []),
        ("8-bit 808", ["bit"]),
        ("techno techno", ["techno"]),
    ],
)
def test_unknown_words(query, unknown):
    clips = [Clip("a", Path("a.wav"), ("A slow flute.",)), Clip("b", Path("b.wav"), ("waltzes in the CAFÉ",))]
    known = AudioTextDataset("two", clips).vocabulary
    assert unknown_words(query, known) == unknown and unknown_words(query, frozenset()) == []


def test_a_checkpoint_keeps_its_words_and_a_query_is_told(tones, cache, tmp_path):
    run(tiny({"steps": 2}), tones, tmp_path, cache)
    captions = [caption for clip in tones.split("train") for caption in clip.captions]
    model = slapkit.load(tmp_path)
    assert model.joint.vocabulary == tones.split("train").vocabulary != frozenset()
    encoder = _encoder(model)
    assert encoder.warn(captions[0]) is None and "“techno”" in encoder.warn("techno")
    started = start_from(tiny({}).model, "clap", tmp_path)
    assert started.vocabulary == model.joint.vocabulary
    (tmp_path / "vocabulary.json").write_text(json.dumps({"words": "flute"}))
    with pytest.raises(CheckpointError, match="vocabulary"):
        slapkit.load(tmp_path)
    (tmp_path / "vocabulary.json").unlink()  # a model from before the list
    old = slapkit.load(tmp_path)
    assert _encoder(old).warn("techno") is None
    joint = start_from(tiny({}).model, "slap", tmp_path)
    again = {"out_dir": tmp_path / "again", "cache_dir": cache, "progress": False}
    training.train(model=joint, config=tiny({"steps": 2}).train, dataset=tones, **again)
    assert slapkit.load(tmp_path / "again").joint.vocabulary == frozenset(), "it may know any word"


def _encoder(model):
    return QueryEncoder(lambda: ModelTower(model, "q"), lambda path: model.embed_audio([path])[0], model.dim, "")
