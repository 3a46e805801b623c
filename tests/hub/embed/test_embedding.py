"""A collection in one Parquet file: the right rows, the same bytes however they were made, nothing lost in a kill."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import slapkit
from slapkit.data import read
from slapkit.errors import ConfigError, DataError, LibraryError
from slapkit.hub.embed import embed_collection
from slapkit.hub.embed.parts import Parts
from slapkit.hub.embed.processes import Place, device_of, place
from slapkit.models.inference import Model
from tests.hub.embed.embedding_parts import COMMAND, start, write_model


def embed(model, data, out, **options):
    return embed_collection(model, data, out, **{"chunk": 3, "workers": 1, "progress": False} | options)


@pytest.fixture(scope="module")
def whole(model, collection, tmp_path_factory):
    """The result of one undisturbed process."""
    torch.set_num_threads(1)  # as the processes that the tests start
    out = tmp_path_factory.mktemp("whole") / "music.parquet"
    outcome = embed(model, collection, out)
    assert outcome.complete and outcome.made == 5 and outcome.missing == 0
    return out


def test_rows_are_what_the_model_says(whole, model, collection):
    table = pq.read_table(whole)
    assert table.column_names == ["id", "path", "modality", "caption", "start_s", "end_s", "z", "q"]
    assert str(table.schema.field("z").type) == "fixed_size_list<element: float not null>[32]"
    rows = table.to_pylist()
    dataset = read(collection)
    usable = [clip for clip in dataset if clip.id != "audio/12.wav"]
    expected = [(clip.id, kind) for clip in usable for kind in ("audio", "text", "text")]
    assert [(row["id"], row["modality"]) for row in rows] == expected
    assert all(row["path"] == row["id"] for row in rows)
    audio, text = ([row for row in rows if row["modality"] == kind] for kind in ("audio", "text"))
    assert [row["caption"] for row in text] == [caption for clip in usable for caption in clip.captions]
    assert {row["caption"] for row in audio} == {row["start_s"] for row in text} == {None}
    for kind in ("z", "q"):
        sound = model.embed_audio([clip.path for clip in usable], embedding=kind)
        # Features are kept as float16 on the way, and captions are padded by other neighbours.
        np.testing.assert_allclose([row[kind] for row in audio], sound, atol=5e-3)
        words = model.embed_text([row["caption"] for row in text], embedding=kind)
        np.testing.assert_allclose([row[kind] for row in text], words, atol=1e-5)
    assert [row["start_s"] for row in audio] == [0.0] * len(audio)
    lengths = [round(24000 * (0.5 + 3 * i / 14)) / 24000 for i in range(14) if i != 12]
    np.testing.assert_allclose([row["end_s"] for row in audio], lengths)


def test_windows_cover_each_sound(whole, model, collection, tmp_path):
    embed(model, collection, tmp_path / "w.parquet", pooled=False, hop_s=0.5)
    frame = pq.read_table(tmp_path / "w.parquet").to_pandas()
    audio = frame[frame.modality == "audio"]
    ends = dict(zip(*(pq.read_table(whole).to_pandas().query("modality == 'audio'")[c] for c in ("id", "end_s"))))
    for id, windows in audio.groupby("id"):
        assert windows.start_s.iloc[0] == 0 and abs(windows.end_s.iloc[-1] - ends[id]) < 0.021
        steps = np.diff(windows.start_s)
        assert (steps > 0).all() and (steps <= 0.5 + 1e-9).all()
        assert len(windows) == max(1, int(np.ceil(round((ends[id] - 1.0) / 0.5, 3))) + 1)
    # Without overlap, the pooled row is the mean of the windows' rows.
    embed(model, collection, tmp_path / "a.parquet", pooled=False)
    every = pq.read_table(tmp_path / "a.parquet").to_pandas().query("modality == 'audio'")
    pooled = pq.read_table(whole).to_pandas().query("modality == 'audio'").set_index("id")
    for id, windows in every.groupby("id"):
        mean = np.stack(windows.z.to_list()).mean(axis=0)
        np.testing.assert_allclose(mean / np.linalg.norm(mean), pooled.z[id], atol=1e-6)


def test_failures_are_listed_beside_the_result(whole, model, collection):
    lines = (whole.parent / "music.parquet.failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == ["audio/12.wav"]
    again = embed(model, collection, whole)
    assert again.complete and again.made == 0 and again.sounds == 13
    assert "cannot be decoded" in again.failures[0].reason and str(collection) not in again.failures[0].reason


@pytest.mark.slow
def test_two_processes_make_the_bytes_of_one(run, collection, tmp_path, whole):
    common = {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    out = tmp_path / "two.parquet"
    both = [start(run, collection, "--out", out, "--chunk", 3, RANK=str(rank), **common) for rank in range(2)]
    said = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert any("is complete: 13 audio files, 1 files" in words for words in said), said
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.parquet", "two.parquet.failures.jsonl"]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_join_to_the_same_bytes(model, collection, tmp_path, whole, world):
    out = tmp_path / "music.parquet"
    for rank in reversed(range(world)):
        outcome = embed(model, collection, out, where=Place(rank, world))
        assert outcome.complete == (rank == 0) and out.exists() == (rank == 0)
        assert outcome.made == len(range(rank, 5, world))
    assert out.read_bytes() == whole.read_bytes()


def test_kill_9_loses_no_finished_part(run, model, collection, tmp_path, whole):
    out = tmp_path / "music.parquet"
    parts, process = tmp_path / "music.parquet.parts", start(run, collection, "--out", out, "--chunk", 3, KILL_AT="3")
    said, _ = process.communicate(timeout=500)
    assert process.returncode == -signal.SIGKILL, said
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("[!.]*.parquet")}
    assert not out.exists() and len(kept) == 2 and len(list(parts.iterdir())) == 3, "two parts, and one without a name"
    assert embed(model, collection, out, where=Place(0, 2)).missing == 1
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items()), "kept parts are not made again"
    outcome = embed(model, collection, out)
    assert (outcome.made, outcome.kept) == (1, 4)
    assert outcome.complete and out.read_bytes() == whole.read_bytes() and not parts.exists()


def test_a_damaged_part_is_made_again(model, collection, tmp_path, whole):
    out = tmp_path / "music.parquet"
    embed(model, collection, out, where=Place(0, 2))
    first, second = sorted((tmp_path / "music.parquet.parts").glob("*.parquet"))[:2]
    first.write_bytes(first.read_bytes()[:-20])
    content = bytearray(second.read_bytes())
    content[len(content) // 3] ^= 255  # among the vectors: only a checksum can tell
    second.write_bytes(content)
    outcome = embed(model, collection, out, where=Place(0, 2))
    assert outcome.made == 2 and outcome.kept == 1 and not outcome.complete
    # Damaged after its process ended: the joiner finds it, and the next call makes it again.
    first.write_bytes(b"")
    assert embed(model, collection, out, where=Place(1, 2)).missing == 1 and not out.exists()
    assert embed(model, collection, out).complete and out.read_bytes() == whole.read_bytes()


def test_what_changed_is_not_taken_for_done(model, collection, tmp_path):
    data, out = shutil.copytree(collection, tmp_path / "music"), tmp_path / "music.parquet"
    embed(model, data, out, where=Place(0, 2))
    path = data / "audio" / "00.wav"
    path.write_bytes((data / "audio" / "13.wav").read_bytes())
    outcome = embed(model, data, out, where=Place(0, 2))
    assert (outcome.made, outcome.kept) == (1, 2), "only the chunk with the changed sound is made again"
    assert embed(model, data, out).complete
    ends = pq.read_table(out).to_pandas().query("modality == 'audio'").set_index("id").end_s
    assert ends["audio/00.wav"] == ends["audio/13.wav"]


def test_another_model_replaces_the_result(model, collection, tmp_path):
    out = tmp_path / "music.parquet"
    embed(model, collection, out, where=Place(0, 2))
    other = slapkit.load(write_model(tmp_path / "other", seed=1, objective="clap"), device="cpu")
    assert embed(other, collection, out).made == 5
    columns = pq.read_table(out).to_pandas()
    np.testing.assert_array_equal(np.stack(columns.z.to_list()), np.stack(columns.q.to_list()))
    with_first = embed(model, collection, out)
    assert with_first.complete and with_first.made == 5


def test_another_precision_replaces_the_result(model, collection, tmp_path, whole):
    out = shutil.copy(whole, tmp_path / "music.parquet")
    assert embed(model, collection, out).made == 0
    rounded = Model(copy.deepcopy(model.joint), precision="bf16")
    assert embed(rounded, collection, out).made == 5
    exact, near = (np.stack(pq.read_table(path).to_pandas().q.to_list()) for path in (whole, out))
    assert not np.array_equal(exact, near) and (exact * near).sum(1).min() > 0.999


def test_folders_tables_and_data_sets_agree(model, collection, tmp_path, whole):
    for name, data in (("a", collection / "metadata.jsonl"), ("b", read(collection))):
        embed(model, data, tmp_path / name)
        assert pq.read_table(tmp_path / name).equals(pq.read_table(whole))


def test_bad_requests_are_refused(model, collection, tmp_path):
    foreign = tmp_path / "mine.parquet"
    foreign.write_text("my own notes")
    with pytest.raises(ConfigError, match="name another file"):
        embed(model, collection, foreign)
    assert foreign.read_text() == "my own notes"
    with pytest.raises(ConfigError, match="hop_s=0.0"):
        embed(model, collection, tmp_path / "x", hop_s=0.0)
    with pytest.raises(ConfigError, match="chunk=0"):
        embed(model, collection, tmp_path / "x", chunk=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no sound to embed"):
        embed(model, tmp_path / "empty", tmp_path / "x")
    with pytest.raises((DataError, LibraryError)):
        embed(model, tmp_path / "absent", tmp_path / "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine.parquet"]


def test_places_come_from_the_launcher():
    assert place({}) == Place(0, 1, 0, 1)
    assert place({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}) == Place(5, 8, 1, 4)
    for environment in (
        {"RANK": "0"},
        {"WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "a", "WORLD_SIZE": "2"},
    ):
        with pytest.raises(ConfigError, match="RANK"):
            place(environment)
    shares = [Place(rank, 3).share(list(range(10))) for rank in range(3)]
    assert sorted(sum(shares, [])) == list(range(10)) and max(map(len, shares)) == 4
    assert device_of(Place(), "cpu") == "cpu"
    with pytest.raises(ConfigError, match="'tpu'"):
        device_of(Place(), "tpu")


def test_devices_are_shared_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [device_of(Place(r, 8, r % 4, 4)) for r in range(8)] == [f"cuda:{r % 4}" for r in range(8)]


def test_parts_of_a_vanished_folder_are_missing(model, collection, tmp_path):
    from slapkit.hub.embed.embed import _settings
    from slapkit.hub.embed.plan import chunks, collect

    settings = _settings(model, pooled=True, hop_s=None)
    plan = chunks(collect(collection)[0], settings, 3)
    parts = Parts(tmp_path / "x.parquet", settings)
    assert parts.missing(plan) == 5 and parts.read(plan[0]) is None
    assert not parts.join(plan, "0" * 32, []) and not (tmp_path / "x.parquet").exists()


@pytest.mark.slow
def test_torchrun_starts_it(run, collection, tmp_path, whole):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    out = tmp_path / "music.parquet"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            script,
            run,
            collection,
        ]
        + ["--out", out, "--chunk", "3", "--quiet", "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes() == whole.read_bytes()
