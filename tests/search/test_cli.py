"""The shell commands: what a library holds, what is found, and mistakes in one line."""

import json
import os
import shutil

from slapkit.cli import main
from slapkit.models.weights import save_model
from slapkit.search import Library
from slapkit.search.results import percentile
from tests.search.library_parts import make_model


def test_build_and_search_in_a_shell(table, tmp_path, capsys):
    run, out, empty = (str(tmp_path / name) for name in ("run", "out", "empty"))
    save_model(make_model().joint, tmp_path / "run", train={}, step=1)
    for counts in ("24 added", "24 unchanged"):
        assert main(["library", str(table), "--model", run, "--out", out, "--quiet"]) == 0
        said = capsys.readouterr()
        assert f"(24 tracks: {counts})" in said.out and not said.err

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
    expected = library.search("flute", k=99, pooling="mean", where=where).round(9).to_dict("records")
    assert [row | {"score_percentile": round(row["score_percentile"], 9)} for row in rows] == expected and rows

    assert main(["search", out, "flute", "-k", "2", "--json"]) == 0
    by_graph = capsys.readouterr()
    assert main(["search", out, "flute", "-k", "2", "--json", "--model", run]) == 0
    by_model = capsys.readouterr()
    assert [json.loads(line)["id"] for line in by_model.out.splitlines()] == list(library.search("flute", k=2)["id"])
    assert "Loading the model ..." in by_model.err and not by_graph.err
    assert main(["search", out, "flute", "-k", "2", "--json", "--index", "approximate"]) == 0
    assert capsys.readouterr() == (by_graph.out, "slapkit: opening the index ...\n")

    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "bad\x1b[2J.wav").touch()
    assert main(["tag", str(tmp_path / "music"), "--quiet"]) == 1
    assert "bad\ufffd[2J.wav" in capsys.readouterr().err
    (tmp_path / "music" / "bad\x1b[2J.wav").write_bytes(b"no sound")
    assert main(["library", str(tmp_path / "music"), "--model", run, "--out", empty, "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "0 tracks: 1 failed" in printed and "cannot be decoded" in printed and "\x1b" not in printed
    assert main(["search", out, "flute", "--json", "--where", "style=rel", "--where", "drums=?"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "no track has 'style=rel': did you mean 'reel'?" in printed.err
    assert main(["search", out, "flute", "-k", "1", "--where", "style=jig", "--where", "style=?"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 and "known: air, jig, reel" in printed.err
    for arguments, words in (
        (["library", str(tmp_path / "nowhere"), "--model", run, "--out", out], "nowhere"),
        (["search", empty, "flute"], "empty"),
        (["search", str(tmp_path), "flute"], "no library"),
        (["search", str(table / "metadata.jsonl"), "flute"], "no library"),
        (["search", out, "flute", "--where", "style"], "'style'"),
        (["search", out, "--like", "title 17"], "did you mean 'audio/17.ogg'?"),
    ):
        assert main(arguments) == 1
        assert words in capsys.readouterr().err


def test_a_remark_on_the_table_is_no_failed_file(table, tmp_path, capsys):
    root = shutil.copytree(table, tmp_path / "set")
    (root / "metadata.csv").write_text("file_name,caption\naudio/00.ogg,a jig\n")
    os.utime(root / "metadata.csv", (0, 0))  # the other one was made of it
    (root / "new.ogg").write_bytes(b"no row names it")
    save_model(make_model().joint, tmp_path / "run", train={}, step=1)
    assert (
        main(["library", str(root), "--model", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    )
    printed = capsys.readouterr().out
    assert "(24 tracks: 24 added, 1 failed)" in printed and "\n  not in it: new.ogg: no row" in printed
    assert "\n  the table: metadata.csv: it is not read" in printed and printed.count("not in it") == 1


def test_what_is_written_is_said(table, tmp_path, capsys):
    save_model(make_model().joint, tmp_path / "run", train={}, step=1)
    Library.build(table, tmp_path / "run", out=tmp_path / "out", progress=False)
    playlist = tmp_path / "mine.m3u8"
    assert main(["search", str(tmp_path / "out"), "flute", "-k", "3", "--out", str(playlist)]) == 0
    assert f"3 tracks are in {os.path.relpath(playlist)}" in capsys.readouterr().err
    assert playlist.read_text().count("#EXTINF") == 3


def test_a_percentile_has_a_digit():
    texts = {0.9999: "100 %", 0.5: "50.0 %", 0.003: "0.3 %", 4e-5: "0.004 %", 3e-7: "0.00003 %"}
    assert {share: percentile(share) for share in texts} == texts
