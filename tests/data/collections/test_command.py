"""The commands on collections and archives."""

from slapkit import cli


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_a_collection_is_summed_up(make, capsys):
    call("collection", make("magnatagatune"), "-o", "top=2", "-o", "drop_untagged=true", "--leaks", "--quiet")
    text = capsys.readouterr().out
    assert "magnatagatune: 4 clips, 0 captions, 3 groups; splits: train 2, test 2" in text
    assert "read as MagnaTagATune (magnatagatune): annotations_final.csv is there" in text
    assert "nothing in more than one of: train 2, test 2" in text


def test_options_are_numbers_or_texts(make, capsys):
    call("collection", make("song-describer"), "--layout", "song-describer", "-o", "captions=valid")
    assert "2 clips, 2 captions" in capsys.readouterr().out
    assert call("collection", make("openmic"), "-o", "captions") == 1
    assert "'captions'" in capsys.readouterr().err
    assert call("collection", make("openmic").parent / "song-describer", "-o", "caption=valid") == 1
    assert "'caption'" in capsys.readouterr().err


def test_an_archive_is_unpacked(tmp_path, capsys):
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "1")
    call("unpack", tmp_path / "x.zip", tmp_path / "out", "--quiet")
    assert (tmp_path / "out" / "a.txt").read_text() == "1" and "unpacked: " in capsys.readouterr().out
