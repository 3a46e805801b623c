"""The commands on collections and archives."""

import zipfile

from slapkit import cli


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_a_collection_is_summed_up(make, capsys):
    call("collection", make("magnatagatune"), "-o", "top=2", "-o", "drop_untagged=true", "--leaks", "--quiet")
    text = capsys.readouterr().out
    assert "magnatagatune: 4 clips, 0 captions, 3 groups; splits: train 2, test 2" in text
    assert "annotations_final.csv" in text and "train 2, test 2" in text.splitlines()[-1]


def test_options_are_numbers_or_texts(make, capsys):
    root = make("song-describer")
    call("collection", root, "--layout", "song-describer", "-o", "captions=valid")
    assert "2 clips, 2 captions" in capsys.readouterr().out
    for option, word in (("captions", "'captions'"), ("caption=valid", "'caption'")):
        assert call("collection", root, "-o", option) == 1
        assert word in capsys.readouterr().err


def test_an_archive_is_unpacked(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "1")
    call("unpack", tmp_path / "x.zip", tmp_path / "out", "--quiet")
    assert (tmp_path / "out" / "a.txt").read_text() == "1" and str(tmp_path / "out") in capsys.readouterr().out
