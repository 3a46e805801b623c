"""A collection in one Parquet file: the right rows, the same bytes however they were made."""

import contextlib
import copy
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from slapkit.cli import main
from slapkit.data import read
from slapkit.errors import ConfigError, DataError, LibraryError
from slapkit.hub.embed import device_of_process, embed_collection
from slapkit.models.inference import Model
from slapkit.models.weights import save_model
from tests.search.library_parts import RATE, make_model, sound

FILES, BROKEN = 14, 12


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Processes that the tests start use one thread: with more, sums are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(one_thread) -> Model:
    return make_model()


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """Files of 0.5 to 3.5 s with two captions each; one is no audio."""
    folder = tmp_path_factory.mktemp("collection") / "music"
    (folder / "audio").mkdir(parents=True)
    rows = []
    for i in range(FILES):
        soundfile.write(folder / "audio" / f"{i:02d}.wav", sound(i, 0.5 + 3 * i / FILES), RATE)
        rows.append({"file_name": f"audio/{i:02d}.wav", "captions": [f"sound {i}", f"a longer caption, number {i}"]})
    (folder / "audio" / f"{BROKEN}.wav").write_bytes(b"no sound at all")
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def embed(model, data, out, **options):
    return embed_collection(model, data, out, **{"chunk": 3, "workers": 1, "progress": False} | options)


@pytest.fixture(scope="module")
def whole(model, collection, tmp_path_factory):
    """The result of one undisturbed process."""
    out = tmp_path_factory.mktemp("whole") / "music.parquet"
    outcome = embed(model, collection, out)
    assert (outcome.made, outcome.files) == (5, 13)
    assert sorted(path.name for path in out.parent.iterdir()) == ["music.parquet", "music.parquet.failures.jsonl"]
    return out


def audio_rows(path):
    return pq.read_table(path).to_pandas().query("modality == 'audio'").set_index("id")


def test_rows_are_what_the_model_gives(whole, model, collection):
    table = pq.read_table(whole)
    assert table.column_names == ["id", "path", "modality", "caption", "start_s", "end_s", "z", "q"]
    assert str(table.schema.field("z").type) == "fixed_size_list<element: float not null>[32]"
    rows = table.to_pylist()
    usable = [clip for clip in read(collection) if clip.id != f"audio/{BROKEN}.wav"]
    expected = [(clip.id, kind) for clip in usable for kind in ("audio", "text", "text")]
    assert [(row["id"], row["modality"]) for row in rows] == expected
    assert all(row["path"] == row["id"] for row in rows)
    audio, text = ([row for row in rows if row["modality"] == kind] for kind in ("audio", "text"))
    assert [row["caption"] for row in text] == [caption for clip in usable for caption in clip.captions]
    assert {row["caption"] for row in audio} == {row["start_s"] for row in text} == {None}
    for kind in ("z", "q"):
        # Features are kept as float16 on the way, and captions are padded by other neighbours.
        found = model.embed_audio([clip.path for clip in usable], embedding=kind)
        np.testing.assert_allclose([row[kind] for row in audio], found, atol=5e-3)
        found = model.embed_text([row["caption"] for row in text], embedding=kind)
        np.testing.assert_allclose([row[kind] for row in text], found, atol=1e-5)
    assert [row["start_s"] for row in audio] == [0.0] * len(audio)
    lengths = [round(RATE * (0.5 + 3 * i / FILES)) / RATE for i in range(FILES) if i != BROKEN]
    np.testing.assert_allclose([row["end_s"] for row in audio], lengths)


def test_windows_cover_each_file(whole, model, collection, tmp_path):
    embed(model, collection, tmp_path / "w.parquet", pooled=False, hop_s=0.5)
    pooled = audio_rows(whole)
    for id, windows in audio_rows(tmp_path / "w.parquet").groupby("id"):
        assert windows.start_s.iloc[0] == 0 and abs(windows.end_s.iloc[-1] - pooled.end_s[id]) < 0.021
        steps = np.diff(windows.start_s)
        assert (steps > 0).all() and (steps <= 0.5 + 1e-9).all()
    # Without overlap, the pooled row is the mean of the windows' rows.
    embed(model, collection, tmp_path / "a.parquet", pooled=False)
    for id, windows in audio_rows(tmp_path / "a.parquet").groupby("id"):
        mean = np.stack(windows.z.to_list()).mean(axis=0)
        np.testing.assert_allclose(mean / np.linalg.norm(mean), pooled.z[id], atol=1e-6)


def test_what_fails_is_listed_and_what_is_done_is_found(whole, model, collection):
    again = embed(model, collection, whole)
    (failure,) = again.failures
    assert (again.made, again.files, failure.file) == (0, 13, f"audio/{BROKEN}.wav")
    assert str(collection) not in failure.reason


def test_files_that_cannot_be_used_are_listed_when_they_come_and_go(model, tmp_path):
    soundfile.write(tmp_path / "fine.wav", sound(1), RATE)
    (tmp_path / "broken.wav").write_bytes(b"no sound at all")
    empty = tmp_path / "empty.wav"
    for change, names in ((None, []), (empty.touch, ["empty.wav"]), (empty.unlink, [])):
        if change:
            change()
        outcome = embed(model, tmp_path, tmp_path / "out" / "music.parquet")
        assert [failure.file for failure in outcome.failures] == ["broken.wav", *names] and outcome.files == 1


@pytest.mark.parametrize("at_the_end", [False, True])
def test_two_that_share_a_folder_make_the_bytes_of_one(model, collection, tmp_path, whole, monkeypatch, at_the_end):
    """They work together; or both are done with the last chunk, and find all of them finished."""
    out, barrier, replace = tmp_path / "music.parquet", threading.Barrier(2), os.replace

    def both(source, target):
        if Path(target) == out:
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(timeout=2)
        return replace(source, target)

    if at_the_end:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(pq, "ParquetWriter", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            embed(model, collection, out)
        monkeypatch.setattr(os, "replace", both)
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: embed(model, collection, out), range(2)))
    assert sum(outcome.made for outcome in outcomes) == (0 if at_the_end else 5)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["music.parquet", "music.parquet.failures.jsonl"]


def test_what_changed_is_embedded_again(model, collection, tmp_path, whole):
    data, out = shutil.copytree(collection, tmp_path / "music"), tmp_path / "music.parquet"
    assert embed(model, data, out).made == 5
    (data / "audio" / "00.wav").write_bytes((data / "audio" / "13.wav").read_bytes())
    assert embed(model, data, out).made == 5, "without its chunks, a result is made whole"
    ends = audio_rows(out).end_s
    assert ends["audio/00.wav"] == ends["audio/13.wav"]
    rounded = Model(copy.deepcopy(model.joint), precision="bf16")
    exact = shutil.copy(whole, tmp_path / "exact.parquet")
    assert embed(model, collection, exact).made == 0 and embed(rounded, collection, exact).made == 5
    a, b = (np.stack(audio_rows(path).q.to_list()) for path in (whole, exact))
    assert not np.array_equal(a, b) and (a * b).sum(1).min() > 0.999
    other = make_model(1, "clap")
    assert embed(other, collection, out).made == 5
    columns = pq.read_table(out).to_pandas()
    np.testing.assert_array_equal(np.stack(columns.z.to_list()), np.stack(columns.q.to_list()))


def test_folders_tables_and_data_sets_agree(model, collection, tmp_path, whole):
    for name, data in (("a", collection / "metadata.jsonl"), ("b", read(collection))):
        embed(model, data, tmp_path / name)
        assert pq.read_table(tmp_path / name).equals(pq.read_table(whole))


def test_bad_requests_are_refused(model, collection, tmp_path, monkeypatch):
    foreign = tmp_path / "mine.parquet"
    foreign.write_text("my own notes")
    with pytest.raises(ConfigError, match="mine.parquet"):
        embed(model, collection, foreign)
    assert foreign.read_text() == "my own notes"
    for options, words in (
        ({"hop_s": 0.0}, "hop_s=0.0"), ({"hop_s": np.inf}, "hop_s=inf"), ({"chunk": 0}, "chunk=0"),
        ({"workers": -1}, "workers=-1"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            embed(model, collection, tmp_path / "x", **options)
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        with pytest.raises((DataError, LibraryError), match=folder):
            embed(model, tmp_path / folder, tmp_path / "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine.parquet"]
    with pytest.raises(ConfigError, match="tpu"):
        device_of_process("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for rank, device in (("1", "cuda:1"), ("6", "cuda:2")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert device_of_process() == device
    monkeypatch.setenv("LOCAL_RANK", "a")
    with pytest.raises(ConfigError, match="LOCAL_RANK"):
        device_of_process()


@pytest.mark.slow
def test_torchrun_and_the_command(model, collection, tmp_path, whole, capsys):
    run, out = tmp_path / "run", tmp_path / "music.parquet"
    save_model(model.joint, run, train={}, step=0)
    command = ["embed", run, collection, "--out", out, "--chunk", "3", "--quiet", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29431", "-m",
         "slapkit", *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes() == whole.read_bytes() and "13 audio files, 1 files" in done.stdout
    assert main(list(map(str, command))) == 0
    assert f"audio/{BROKEN}.wav" in capsys.readouterr().out
