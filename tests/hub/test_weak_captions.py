"""Captions out of a tagger's words: a table that reads, trains, says who wrote it and leaves people's words alone."""

import csv
import json

import numpy as np
import pytest

import slapkit
from slapkit.cli import main
from slapkit.data import read
from slapkit.errors import ConfigError, DataError
from slapkit.hub import start_from
from slapkit.hub.doctor.report import Examination
from slapkit.hub.export import model_card, to_hub_folder
from slapkit.hub.weak_captions import caption_folder, write
from slapkit.hub.words import Words
from slapkit.search import Library
from slapkit.viz.text import facts
from slapkit.viz.widgets import SearchBench
from tests.hub.heard_sounds import UNUSABLE
from tests.training.tones import run, tiny

NO_NAME = "hard \x1b[2J beat.wav"  # which no table may name


@pytest.fixture
def music(heard_copy):
    """A folder of sounds, and what describes it."""
    root, cache = heard_copy
    return root, lambda **more: caption_folder(root, cache_dir=cache, progress=False, **more)


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_words_become_captions_of_several_registers():
    facts = {"instruments": ["piano", "strings"], "voice": ["choir"], "tempo": ["slow"], "genre": ["indian"]}
    captions = write(Words(facts, {}), np.random.default_rng(0))
    assert [*captions.values()] == ["sentence", "sentence", "terse", "tags", "partial", "partial"]
    by_register = dict(zip(captions.values(), captions))
    assert by_register["terse"] == "slow Indian music with piano, strings and a choir"
    assert {*by_register["tags"].split(", ")} == {"piano", "strings", "choir", "slow", "Indian"}
    for sentence in [*captions][:2]:
        assert sentence[0].isupper() and sentence.endswith("with piano, strings and a choir.")
    least = write(Words({"voice": ["none"], "tempo": ["medium"]}, {}), np.random.default_rng(0))
    assert "instrumental music" in least and all("medium" not in text and "none" not in text for text in least)


def test_a_folder_gets_a_table_that_reads_and_trains(music, tmp_path):
    root, describe = music
    made = describe()
    assert made.table == root / "metadata.jsonl" and (made.described, made.kept) == (7, 0)
    assert {failure.file for failure in made.failures} == {*UNUSABLE, NO_NAME}
    dataset = read(root)
    assert len(dataset) == 7 and not dataset.problems and {*dataset.splits} == {"train", "validation", "test"}
    assert "a model (musicnn) wrote the captions of 7 of 7 clips" in dataset.summary()
    for clip in dataset:
        assert len(clip.captions) == len(clip.facts["caption_registers"])
        assert len(clip.facts["caption_words"]) == len(clip.facts["caption_confidence"]) > 0
        assert all(0 < share < 1 for share in clip.facts["caption_confidence"])
        assert facts({"id": clip.id, **clip.facts}) == ["captions by a model (musicnn)"]
    same = {clip.split for clip in dataset if clip.id in ("album/quick.wav", "album/again.wav")}
    assert len(same) == 1, "equal sounds stay together"
    before = made.table.read_bytes()
    assert describe().kept == 0 and made.table.read_bytes() == before
    trained = run(tiny({"batch_size": 2, "steps": 2}), dataset, tmp_path / "out")
    assert np.isfinite(trained.history[-1]["loss"])
    said = "in training, a model (musicnn) wrote the captions of "
    model = slapkit.load(tmp_path / "out")
    assert (
        model.note.startswith(said)
        and slapkit.load(to_hub_folder(tmp_path / "out", tmp_path / "hub")).note == model.note
    )
    library = Library.build(root, model, out=tmp_path / "library", progress=False)
    bench = SearchBench(library, query="beat")
    assert said in model_card(model) and said in bench.options["hint"]
    assert "captions by a model (musicnn)" in bench.options["first"]["columns"][0]["cards"][0]["facts"]
    assert said in Examination("it", [], model.note).text()
    start = start_from(model.config.replace(text=model.config.text.replace(fingerprint=None)), "clap", tmp_path / "out")
    assert start.note == model.note


def test_what_people_wrote_stays(music, capsys):
    root, describe = music
    mine = [
        {"file_name": "beat.wav", "caption": "my own words", "mine": 1},
        {"file_name": "noise.flac", "caption": "", "genre": "my genre", "source": "field recorder"},
        {"file_name": "gone.wav", "caption": "it was here"},
        {"file_name": "silent.wav", "caption": None},
    ]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mine))
    for _ in range(2):  # the second time, its own captions are there
        made = describe()
        assert (made.described, made.kept) == (6, 3)
        rows = {row["file_name"]: row for row in rows_of(made.table)}
        split = rows["beat.wav"].pop("split")
        assert split and rows["beat.wav"] == mine[0] and rows["gone.wav"] == mine[2] and "silent.wav" in rows
        noise = rows["noise.flac"]
        assert noise["genre"] == "my genre" and (noise["source"], noise["source (table)"]) == (
            "musicnn",
            mine[1]["source"],
        )
        assert len(noise["caption"]) == len(noise["caption_registers"])
        clips = {clip.id: clip for clip in read(root)}
        assert len(clips) == 7 and clips["beat.wav"].captions == ("my own words",)
    (root / "metadata.jsonl").write_text(json.dumps(mine[0]) + "\n{torn\n")
    with pytest.raises(DataError, match="line 2 of .* would be lost"):
        describe()
    assert (root / "metadata.jsonl").read_text().endswith("{torn\n")
    assert main(["caption", str(root), "--quiet"]) == 1 and "would be lost" in capsys.readouterr().err


def test_a_table_in_csv_stays_and_its_splits_count(music, tmp_path):
    root, describe = music
    with open(root / "metadata.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file_name", "text", "split"], ["beat.wav", "a, beat", "test"]])
    before = (root / "metadata.csv").read_bytes()
    made = describe(out=tmp_path / "all.jsonl")
    dataset = read(root, table=made.table)
    assert (root / "metadata.csv").read_bytes() == before and not (root / "metadata.jsonl").exists()
    assert dataset.splits == {"train": 6, "test": 1} and dataset.split("test")[0].captions == ("a, beat",)
    with pytest.raises(DataError, match="is there already"):
        describe(out=tmp_path / "all.jsonl")
    with pytest.raises(ConfigError, match="seed=-1"):
        describe(seed=-1)
