"""Tables under names, with columns and in forms that people and programs choose: read, or refused with a remedy."""

import json

import numpy as np
import pytest
import soundfile

from slapkit.data import read
from slapkit.errors import DataError


@pytest.fixture
def sounds(tmp_path):
    """A folder of two sounds, a.wav and b.wav."""
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.full(80, 0.1), 8000)
    return tmp_path


@pytest.mark.parametrize("name", ["metadata.csv", "Metadata.csv", "METADATA.CSV"])
@pytest.mark.parametrize(
    "header", ["file_name;caption;split", "File_name;Caption;Split", "\ufeff FILE_NAME ;CAPTION; Split"]
)
def test_a_table_and_its_columns_may_have_capitals(sounds, name, header):
    (sounds / name).write_text(f"{header};La\u0308nge\na.wav;a jig;Dev;5\n", "utf-8")
    clip = read(sounds)[0]
    assert (clip.captions, clip.split, clip.facts) == (("a jig",), "validation", {"L\u00e4nge": 5})


def test_two_columns_that_differ_in_capitals_stay_two(sounds):
    (sounds / "metadata.csv").write_text("file_name,caption,Caption\na.wav,a jig,mine\n")
    found = read(sounds)
    assert found[0].captions == ("a jig",) and found[0].facts == {"Caption": "mine"}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("listed", [True, False])
def test_json_in_a_list_or_over_several_lines(sounds, indent, listed):
    rows = [{"File_name": f"{name}.wav", "captions": [f"about {name}"]} for name in ("a", "b", "none")]
    texts = [json.dumps(row, indent=indent) for row in rows]
    whole = json.dumps(rows, indent=indent) if listed else "\n".join(texts) + "\n"
    (sounds / "metadata.jsonl").write_text(whole)
    dataset = read(sounds)
    assert [(clip.id, clip.captions) for clip in dataset] == [("a.wav", ("about a",)), ("b.wav", ("about b",))]
    row = whole[: whole.index('"none.wav"')].rindex("{")
    assert [problem.row for problem in dataset.problems] == [whole.count("\n", 0, row) + 1]


def test_a_damaged_list_of_json_is_listed(sounds):
    (sounds / "metadata.jsonl").write_text('[{"file_name": "a.wav", "caption": "x"},\n{"file_name": "b.wav", "cap')
    with pytest.raises(DataError, match=r"2 x the line is not JSON|1 x the line is not JSON"):
        read(sounds)


@pytest.mark.parametrize("start", [b"PK\x03\x04\x14\0", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_a_workbook_named_as_a_table_is_refused_with_the_remedy(sounds, start):
    (sounds / "metadata.csv").write_bytes(start + bytes(range(256)) * 4)
    with pytest.raises(DataError, match=r"workbook or an archive: open it and save it as CSV"):
        read(sounds)


@pytest.mark.parametrize("name", ["captions.xlsx", "Metadata.json", "metadata.csv.txt"])
def test_a_table_of_another_kind_is_named(sounds, name):
    (sounds / name).write_bytes(b"anything")
    with pytest.raises(DataError, match=f"{name}' is not read: save it as metadata.csv"):
        read(sounds)
