"""Storage: all or nothing, and a full disk is told in words."""

import errno
import hashlib
import json
import os
import threading

import pytest

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
    with pytest.raises(StorageError, match=r"no space left to write .*a\.txt.*3 B needed.*free"):
        _io.atomic_write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_guard_knows_a_full_disk_by_its_words_and_lets_the_rest_through(tmp_path):
    with pytest.raises(StorageError, match="no space left"), _io.write_guard(tmp_path / "m.safetensors"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(KeyError), _io.write_guard(tmp_path):
        raise KeyError("x")
    with pytest.raises(FileNotFoundError), _io.write_guard(tmp_path):
        (tmp_path / "missing").read_bytes()


def test_a_file_where_a_folder_must_be(tmp_path):
    (tmp_path / "a").write_text("file")
    with pytest.raises(StorageError, match="cannot write"):
        _io.atomic_write_text(tmp_path / "a" / "b", "x")


def test_no_permission_is_told():
    with pytest.raises(StorageError, match="cannot write .*permissions"), _io.write_guard("/nowhere/x"):
        raise PermissionError(errno.EACCES, "Permission denied")


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


def test_sha256_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert _io.sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_readable_size():
    assert [_io.readable_size(n) for n in (12, 1500, 2_000_000, 3e13)] == ["12 B", "1.5 kB", "2.0 MB", "30.0 TB"]
