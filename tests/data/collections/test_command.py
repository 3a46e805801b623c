"""The commands, through their own parser."""

import argparse

import pytest

from slapkit.data.collections import command
from slapkit.errors import ConfigError


def call(*arguments):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args([str(argument) for argument in arguments])
    args.call(args)


def test_a_collection_is_summed_up(make, capsys):
    call("collection", make("magnatagatune"), "-o", "top=2", "-o", "drop_untagged=true", "--leaks", "--quiet")
    text = capsys.readouterr().out
    assert "magnatagatune: 4 clips, 0 captions, 3 groups; splits: train 2, test 2" in text
    assert "read as MagnaTagATune (magnatagatune): annotations_final.csv is there" in text
    assert "nothing in more than one of: train 2, test 2" in text


def test_options_are_numbers_or_texts(make, capsys):
    call("collection", make("song-describer"), "--layout", "song-describer", "-o", "captions=valid")
    assert "2 clips, 2 captions" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="-o 'captions' must be name=value"):
        call("collection", make("openmic"), "-o", "captions")
    with pytest.raises(ConfigError, match="no option 'caption': did you mean"):
        call("collection", make("openmic").parent / "song-describer", "-o", "caption=valid")


def test_an_archive_is_unpacked(tmp_path, capsys):
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "1")
    call("unpack", tmp_path / "x.zip", tmp_path / "out", "--quiet")
    assert (tmp_path / "out" / "a.txt").read_text() == "1" and "unpacked: " in capsys.readouterr().out
