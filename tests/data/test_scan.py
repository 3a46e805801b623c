"""What goes into a folder is used or listed, whatever its table leaves out."""

import shutil

import numpy as np
import pytest
import soundfile

from slapkit.data import make_splits, read
from slapkit.data.scan import scan
from slapkit.errors import DataError

NAMES = ("0012.ogg", "Zwei Wege.ogg", "album/three.ogg")


@pytest.fixture
def shelf(tmp_path):
    """A folder with three sounds, one of them in a folder of its own."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, 0.1 * np.random.default_rng(len(name)).standard_normal(800), 8000)
    return tmp_path


def listed(folder):
    return {failure.file: failure.reason for failure in scan(folder)[1]}


def test_a_link_that_leads_to_itself_is_listed_and_takes_nothing_along(shelf):
    (shelf / "loop.mp3").symlink_to("loop.mp3")
    sources, _ = scan(shelf)
    assert tuple(source.id for source in sources) == NAMES and listed(shelf).keys() == {"loop.mp3"}
    (shelf / "metadata.csv").write_text("file_name,caption\n" + "".join(f"{name},a jig\n" for name in NAMES))
    assert len(read(shelf)) == 3


def test_sounds_that_no_row_names_are_listed(shelf):
    (shelf / "empty.ogg").touch()
    (shelf / "mute.ogg").write_bytes((shelf / "0012.ogg").read_bytes())
    (shelf / "cover.jpg").touch()
    (shelf / "metadata.csv").write_text("file_name,caption\n0012.ogg,a jig\nempty.ogg,a reel\n./mute.ogg,\n")
    assert read(shelf).unnamed == ["Zwei Wege.ogg", "album/three.ogg"], "what fails is named all the same"
    assert "2 sound files of the folder are in no row, and left out: 'Zwei Wege.ogg', 'album/three.ogg'" in (
        read(shelf).relabel({"0012.ogg": "test"}).summary()
    )
    assert listed(shelf).keys() == {*NAMES[1:], "empty.ogg", "mute.ogg"}


@pytest.mark.parametrize(
    "name", ["0012.OGG", "12.ogg", "0012", "0012.wav", "music/0012.ogg", r"music\0012.ogg", "file:///home/me/0012.ogg"]
)
def test_a_missing_file_that_is_there_by_another_name_is_pointed_out(shelf, name):
    (shelf / "metadata.csv").write_text(f"file_name,caption\n{name},a jig\nZwei%20Wege.ogg,a reel\nother.ogg,a song\n")
    hint = r"2 of the missing files may be there by another name \('0012.ogg' for .*'Zwei Wege.ogg' for 'Zwei%20Wege"
    with pytest.raises(DataError, match=hint):
        read(shelf)
    with (shelf / "metadata.csv").open("a") as file:
        file.write("album/three.ogg,a march\n")
    assert "2 of the missing files" in read(shelf).summary() and "2 of the missing" in listed(shelf)["the table"]


def test_a_whole_folder_divided_says_nothing_more(shelf):
    (shelf / "metadata.csv").write_text("file_name,caption\n" + "".join(f"{name},a jig\n" for name in NAMES))
    assert make_splits(read(shelf)).summary().count("\n") == 0
    shutil.rmtree(shelf / "album")
    assert not read(shelf).unnamed
