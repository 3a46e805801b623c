"""Files are written whole or not at all, and a full disk is a StorageError."""

import errno
import json
import os

import pytest

from slapkit import _io
from slapkit.errors import ConfigError, StorageError


def test_writes_make_the_folder_and_leave_nothing_else(tmp_path):
    path = _io.atomic_write_json(tmp_path / "a" / "b.json", {"x": [1, 2.5, "é"]})
    assert json.loads(path.read_text("utf-8")) == {"x": [1, 2.5, "é"]}
    _io.atomic_write_text(path, "second")
    with pytest.raises(ValueError):
        _io.atomic_write_json(path, float("nan"))
    assert path.read_text() == "second" and os.listdir(path.parent) == ["b.json"]
    longest = tmp_path / ("a" * 255)  # of a name in most file systems
    assert _io.atomic_write_text(longest, "x").read_text() == "x"


def test_a_full_disk_is_a_storage_error_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = _io.atomic_write_text(tmp_path / "a.txt", "old")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.txt.*3 B"):
        _io.atomic_write_text(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_guard_knows_a_full_or_forbidden_disk_and_lets_the_rest_through(tmp_path):
    (tmp_path / "a").write_text("file")
    with pytest.raises(StorageError, match="a/b"):
        _io.atomic_write_text(tmp_path / "a" / "b", "x")
    for error, expected in (
        (PermissionError(errno.EACCES, "Permission denied"), StorageError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StorageError),
        (RuntimeError("I/O error: No space left on device (os error 28)"), StorageError),
        (KeyError("/nowhere/x"), KeyError),
        (FileNotFoundError(errno.ENOENT, "missing", "/nowhere/x"), FileNotFoundError),
    ):
        with pytest.raises(expected, match="/nowhere/x"), _io.write_guard("/nowhere/x"):
            raise error


@pytest.mark.parametrize("out", [".", "", "inner/.."])
def test_the_working_folder_is_not_replaced(tmp_path, monkeypatch, out):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(ConfigError, match="working folder"), _io.staged_folder(out):
        pytest.fail("nothing is staged")
    assert list(tmp_path.rglob("*")) == [tmp_path / "work"]


@pytest.mark.parametrize("torn", ['{"a"', '{"a"\n{"a": 3}\n'])
def test_a_torn_last_line_is_left_out(tmp_path, torn):
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n' + torn)
    assert _io.read_json_lines(tmp_path / "rows.jsonl") == ([{"a": 1}, {"a": 2}], 18)
    assert _io.read_json_lines(tmp_path / "rows.jsonl", 9) == ([{"a": 2}], 18)
    assert _io.read_json_lines(tmp_path / "none") == ([], 0)


def test_a_lock_is_held_by_one(tmp_path):
    for _ in range(2):
        with _io.locked(tmp_path / "lock"), pytest.raises(BlockingIOError), _io.locked(tmp_path / "lock"):
            pass


def test_text_and_sizes_for_a_terminal():
    assert _io.printable("a\x1b[31m\u202eb") == "a\ufffd[31m\ufffdb"
    assert [_io.readable_size(n) for n in (12, 1500, 2_000_000, 3e13)] == ["12 B", "1.5 kB", "2.0 MB", "30.0 TB"]
