"""The shell commands: what a library holds, what is found, and mistakes told in one line."""

from __future__ import annotations

import json

import pytest

from slapkit._io import printable
from slapkit.cli import main
from slapkit.models.weights import save_model
from slapkit.search import Library
from slapkit.search.results import percentile
from tests.search.library_parts import make_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_model(make_model().joint, folder, train={}, step=1)
    return folder


def test_build_and_search_in_a_shell(table, run, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["library", str(table), "--model", str(run), "--out", out, "--quiet"]) == 0
    assert "(24 tracks: 24 added)" in capsys.readouterr().out
    assert main(["library", str(table), "--model", str(run), "--out", out, "--quiet"]) == 0
    assert "(24 tracks: 24 unchanged)" in capsys.readouterr().out

    library = Library.open(out)
    assert main(["search", out, "slow flute - drums", "-k", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = library.search("slow flute - drums", k=5)
    assert len(lines) == 5 and all(file in line for file, line in zip(found["file"], lines))
    assert lines[0].split()[:4] == ["1", "top", "4.2", "%"]

    filters = ["--where", "style=jig", "--where", "style=Reel", "--where", "drums=true"]
    assert main(["search", out, "flute", "-k", "99", "--json", "--pooling", "mean", *filters]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    where = {"style": ["jig", "reel"], "drums": True}
    expected = library.search("flute", k=99, pooling="mean", where=where)
    assert [row["id"] for row in rows] == expected["id"].tolist() and rows
    assert rows[0]["captions"] == expected["captions"][0] and rows[0]["drums"] is True


def test_mistakes_are_one_line(table, run, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["library", str(tmp_path / "nowhere"), "--model", str(run), "--out", out]) == 1
    assert "no folder of music" in capsys.readouterr().err
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "bad\x1b[2J.wav").write_bytes(b"no sound")
    assert main(["library", str(tmp_path / "music"), "--model", str(run), "--out", out, "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "0 tracks: 1 failed" in printed and "cannot be decoded" in printed and "\x1b" not in printed
    for arguments, words in (
        (["search", out, "flute"], "is empty"),
        (["search", out, " "], "query is empty"),
        (["search", str(tmp_path), "flute"], "holds no library"),
        (["search", out, "flute", "--where", "style"], "must be FACT=VALUE"),
    ):
        assert main(arguments) == 1
        assert words in capsys.readouterr().err


def test_what_is_printed():
    texts = [percentile(share) for share in (1.0, 0.9999, 0.5, 0.003, 0.0004, 0.00004, 1 / 3e6)]
    assert texts == ["100 %", "100 %", "50.0 %", "0.3 %", "0.04 %", "0.004 %", "0.00003 %"]
    assert printable("a\x1b[31m\u202eb\u200b\n") == "a\ufffd[31m\ufffdb\ufffd\ufffd"
