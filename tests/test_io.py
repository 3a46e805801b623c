"""Files are written whole or not at all, a full disk is a StorageError, and threads share cores and keep order."""

import errno
import hashlib
import json
import os
import threading
import time

import pytest
import torch

from slapkit import _io
from slapkit.errors import StorageError


def test_writes_make_the_folder_and_leave_nothing_else(tmp_path):
    path = _io.atomic_write_json(tmp_path / "a" / "b.json", {"x": [1, 2.5, "é"]})
    assert json.loads(path.read_text("utf-8")) == {"x": [1, 2.5, "é"]}
    _io.atomic_write_text(path, "second")
    assert path.read_text() == "second"
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_json_that_is_not_json_leaves_the_old_file(tmp_path):
    path = _io.atomic_write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError):
        _io.atomic_write_json(path, float("nan"))
    assert json.loads(path.read_text()) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_storage_error_and_keeps_the_old_file(tmp_path, monkeypatch, code):
    path = _io.atomic_write_text(tmp_path / "a.txt", "old")

    def full(_handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.txt.*3 B"):
        _io.atomic_write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_guard_knows_a_full_or_forbidden_disk_and_lets_the_rest_through(tmp_path):
    with pytest.raises(StorageError, match="/nowhere/x"), _io.write_guard("/nowhere/x"):
        raise PermissionError(errno.EACCES, "Permission denied")
    (tmp_path / "a").write_text("file")
    with pytest.raises(StorageError, match="a/b"):
        _io.atomic_write_text(tmp_path / "a" / "b", "x")
    with pytest.raises(StorageError, match="m.safetensors"), _io.write_guard(tmp_path / "m.safetensors"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(KeyError), _io.write_guard(tmp_path):
        raise KeyError("x")
    with pytest.raises(FileNotFoundError), _io.write_guard(tmp_path):
        (tmp_path / "missing").read_bytes()


def test_readers_never_see_half_a_file(tmp_path):
    path = _io.atomic_write_text(tmp_path / "a", "0" * 100_000)
    stop, seen = threading.Event(), set()

    def read():
        while not stop.is_set():
            text = path.read_text()
            seen.add((len(text), len(set(text))))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(30):
        _io.atomic_write_text(path, str(i % 10) * 100_000)
    stop.set()
    reader.join()
    assert seen == {(100_000, 1)}


def test_sums_and_sizes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert _io.sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert [_io.readable_size(n) for n in (12, 1500, 2_000_000, 3e13)] == ["12 B", "1.5 kB", "2.0 MB", "30.0 TB"]


def test_a_torn_last_line_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert _io.read_json_lines(path) == ([{"a": 1}, {"a": 2}], 18)
    assert _io.read_json_lines(tmp_path / "none") == ([], 0)


def test_a_lock_is_held_by_one(tmp_path):
    with _io.locked(tmp_path / "lock"), pytest.raises(BlockingIOError), _io.locked(tmp_path / "lock"):
        pass
    with _io.locked(tmp_path / "lock"):
        pass


def test_what_a_terminal_would_obey_is_not_printed():
    assert _io.printable("a\x1b[31m\u202eb") == "a\ufffd[31m\ufffdb"


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("most", [None, 2, 9])
def test_each_thread_works_alone_on_a_piece_and_without_gradients(three_threads, most):
    at_once, most_at_once, lock, here = 0, 0, threading.Lock(), threading.get_ident()

    def watch(_: int) -> tuple[int, bool, bool]:
        nonlocal at_once, most_at_once
        with lock:
            at_once += 1
            most_at_once = max(most_at_once, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident() == here

    assert set(_io.spread(watch, range(12), most=most)) == {(1, False, False)}
    assert most_at_once == min(3, most or 3)


def test_fewer_pieces_than_threads_are_taken_by_all_threads_together(three_threads):
    here = threading.get_ident()

    def watch(_: int) -> tuple[int, bool, int]:
        return torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident()

    assert _io.spread(watch, range(2)) == [(3, False, here)] * 2
    assert _io.spread(lambda _: threading.get_ident(), range(5), most=1) == [here] * 5


def test_threads_that_begin_later_have_all_cores_again(three_threads):
    def fail_at_4(n: int) -> int:
        if n in (4, 6):
            raise ValueError(f"piece {n}")
        return n

    with pytest.raises(ValueError, match="piece 4"):
        _io.spread(fail_at_4, range(9))
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), later) == (3, [3])


def test_products_do_not_depend_on_the_threads_and_keep_their_order(three_threads):
    torch.manual_seed(0)
    pieces = list(torch.randn(7, 40, 50).unbind())
    expected = [piece.double() @ piece.T.double() for piece in pieces]
    for found, wanted in zip(_io.spread(lambda piece: piece @ piece.T, pieces), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
