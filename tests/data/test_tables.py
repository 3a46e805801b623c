"""Tables as they come from spreadsheets, pandas and other programs: read right, or listed with line and value."""

import random
import warnings

import numpy as np
import pytest
import soundfile

from slapkit.data import collections, read, tables, write_table
from slapkit.data.reader import LONGEST
from slapkit.data.scan import scan
from slapkit.errors import DataError


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A folder of sounds, 00.wav to 39.wav."""
    root = tmp_path_factory.mktemp("sounds")
    for i in range(40):
        soundfile.write(root / f"{i:02}.wav", np.full(80, 0.1), 8000)
    return root


@pytest.fixture
def table(sounds, tmp_path):
    """A function that writes a table and reads it as one of the sounds."""

    def read_text(text, name="t.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return read(sounds, table=tmp_path / name)

    return read_text


def captions(dataset):
    return {clip.id: clip.captions for clip in dataset}


@pytest.mark.parametrize(
    ("lines", "found", "listed"),
    [
        (['00.wav,"slow', "01.wav,fast", "02.wav,loud"], ["slow", "fast", "loud"], [2]),
        (['00.wav,"slow', "01.wav,fast", '02.wav,"sad, slow"'], ["slow", "fast", "sad, slow"], [2]),
        (['00.wav,"slow, sad', "01.wav,fast"], ["slow, sad", "fast"], [2]),
        (['00.wav,"slow', '01.wav,fast"'], ["slow", 'fast"'], [2]),
        (["00.wav,slow", '01.wav,"a "dub" track"', "02.wav,x"], ["slow", 'a "dub" track', "x"], [3]),
        (["00.wav,slow", '01.wav,"Hello" is said'], ["slow", '"Hello" is said'], [3]),
        (['00.wav,"two', 'lines, or three"', "01.wav,x", "no.wav,x"], ["two lines, or three", "x"], [5]),
        (['00.wav,a 12" mix', "01.wav,x"], ['a 12" mix', "x"], []),
        (["00.wav,slow,,", "01.wav,x"], ["slow", "x"], []),
    ],
)
def test_quotes_that_do_not_pair_up_take_no_row_along(table, lines, found, listed):
    dataset = table("file_name,caption\n" + "\n".join(lines))
    assert captions(dataset) == {f"{i:02}.wav": (text,) for i, text in enumerate(found)}
    assert [p.row for p in dataset.problems] == listed


def test_a_line_whose_cells_cannot_be_told_apart_is_left_out_and_named(table):
    dataset = table('caption,file_name,split\nx,00.wav,train\n"slow, sad,01.wav,train\ny,02.wav,test\n')
    assert list(captions(dataset)) == ["00.wav", "02.wav"]
    (problem,) = dataset.problems
    assert problem.row == 3 and "left out" in problem.reason and "01.wav" in problem.value


def test_windows_1252_line_by_line(table):
    text = b"file_name,caption,artist\n" + "00.wav,„Lied“ – für’s Herz…,Øl\n".encode("cp1252")
    dataset = table(text + "01.wav,Čez reko,Ł\n".encode() + b"02.wav,what\x81is,\n")
    assert captions(dataset) == {"00.wav": ("„Lied“ – für’s Herz…",), "01.wav": ("Čez reko",), "02.wav": ("what�is",)}
    assert dataset[0].facts["artist"] == "Øl"
    assert "not UTF-8 in 2 lines, the first 2" in dataset.notes[0] and "1 bytes" in dataset.notes[0]


def test_a_file_named_with_typographic_signs_and_a_key_with_zeros(tmp_path):
    name = "für’s Herz – „live“.wav"
    soundfile.write(tmp_path / name, np.full(80, 0.1), 8000)
    (tmp_path / "metadata.csv").write_bytes(f"file_name,caption,key\n{name},“slow”,0012\n".encode("cp1252"))
    dataset = read(tmp_path)
    assert captions(dataset) == {name: ("“slow”",)} and dataset[0].facts == {"key": "0012"} and not dataset.problems
    write_table(dataset)
    assert list(read(tmp_path)) == list(dataset), "and the table that is written keeps them"


def test_dropped_control_characters_are_said(table):
    dataset = table("file_name,caption\n00.wav,sl\x01ow\n")
    assert captions(dataset) == {"00.wav": ("slow",)} and "control" in dataset.problems[0].reason


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['a', \"don't, b\"]", ("a", "don't, b")),
        ("['a' 'b'\n 'c']", ("a", "b", "c")),
        ("[np.str_('a'), np.str_('b')]", ("a", "b")),
        ("['a', None, nan]", ("a",)),
        ('["a", "b"]', ("a", "b")),
        (r"['\u00e9', 'x\ny']", ("é", "x y")),
        ("[Chorus] loud", ("[Chorus] loud",)),
        ("[Chorus]", ("[Chorus]",)),
    ],
)
def test_lists_of_captions_as_programs_write_them(table, cell, expected):
    quoted = cell.replace('"', '""')
    assert captions(table(f'file_name,captions\n00.wav,"{quoted}"\n')) == {"00.wav": expected}


@pytest.mark.parametrize("cell", ["['a', 'b", "['a', f('b')]", "['a'" + " " * 100_000 + "x"])
def test_what_begins_like_a_list_and_is_none_is_listed(table, cell):
    dataset = table(f'file_name,captions\n00.wav,"{cell}"\n')
    assert len(dataset[0].captions) == 1 and "begins like a list" in dataset.problems[0].reason
    assert len(dataset.problems[0].value) < 200


def test_pandas_gives_back_what_it_wrote(sounds, tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"file_name": ["00.wav", "01.wav"], "captions": [["a, b", "it's"], ["c"]]})
    frame["number"], frame["share"], frame["key"], frame["loud"] = [12, 7], [1e-05, 2.5], ["0012", "0007"], [True, None]
    frame.to_csv(tmp_path / "t.csv", index=False)
    dataset = read(sounds, table=tmp_path / "t.csv")
    assert captions(dataset) == {"00.wav": ("a, b", "it's"), "01.wav": ("c",)}
    assert dataset[0].facts == {"number": 12, "share": 1e-05, "key": "0012", "loud": True}
    assert dataset[1].facts["loud"] is None


def assert_read(table, separator, cells, values):
    """Check what a column of cells is read as, types too."""
    rows = [("file_name", "caption", "x"), *((f"{i:02}.wav", "c", cell) for i, cell in enumerate(cells))]
    found = [clip.facts["x"] for clip in table("".join(f"{separator.join(row)}\n" for row in rows))]
    assert found == values and [type(x) for x in found] == [type(x) for x in values]


def test_a_european_table_of_pandas_comes_back(sounds, tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"file_name": [f"{i:02}.wav" for i in range(40)], "caption": "a, b; 0,5"})
    frame["energy"], frame["year"] = rng.normal(size=40).round(3), rng.integers(1900, 2000, 40)
    frame.loc[7, "energy"] = None
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    found = read(sounds, table=tmp_path / "t.csv").to_pandas()
    pd.testing.assert_frame_equal(found[["energy", "year"]], frame[["energy", "year"]], check_dtype=False)
    assert all(list(own) == ["a, b; 0,5"] for own in found["captions"])


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["0012", "7"], ["0012", "7"]),
        (["12", "7"], [12, 7]),
        (["+4", "5"], ["+4", "5"]),
        (["12e4", "45e10"], ["12e4", "45e10"]),
        (["1.10", "1.1"], ["1.10", "1.1"]),
        (["90.50", "91.00"], [90.5, 91.0]),
        (["12", "7.5"], [12.0, 7.5]),
        (["0.5", "nan"], [0.5, None]),
        (["7a", "8"], ["7a", "8"]),
        (["000046_3840", "1_000"], ["000046_3840", "1_000"]),
        (["123456789012345678", "nan"], [123456789012345678, None]),
        (["1234567890.12345678901", "2.5"], ["1234567890.12345678901", "2.5"]),
        (["inf", "1"], ["inf", "1"]),
        (["TRUE", "false"], [True, False]),
        (["١٢", "7"], ["١٢", "7"]),
    ],
)
def test_cells_are_numbers_where_all_come_back_the_same(table, cells, values):
    assert_read(table, ",", cells, values)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["0,5", "-1,25"], [0.5, -1.25]),
        (["3", "0,5"], [3.0, 0.5]),
        (["0,50", "1,25"], [0.5, 1.25]),
        (["0,5", "", "nan"], [0.5, None, None]),
        (["1,234", "0,512"], [1.234, 0.512]),
        (["1,234", "1234,5"], [1.234, 1234.5]),
        (["1,234", "12,345"], ["1,234", "12,345"]),  # thousands, or not
        (["1,234", "-1,234", "7"], ["1,234", "-1,234", "7"]),
        (["1.234,5", "0,5"], ["1.234,5", "0,5"]),
        (["1,234,567", "0,5"], ["1,234,567", "0,5"]),
        (["1.5", "0,5"], ["1.5", "0,5"]),
        (["1,5", "2,3,5"], ["1,5", "2,3,5"]),
        (["0,5", "fast"], ["0,5", "fast"]),
        (["0,50", "0,5"], ["0,50", "0,5"]),
        (["00,5", "1,5"], ["00,5", "1,5"]),
        (["+0,5", "1,5"], ["+0,5", "1,5"]),
        (["5,", ",5"], ["5,", ",5"]),
        (["1,5e3", "0,5"], ["1,5e3", "0,5"]),
        (["1, 5", "0,5"], ["1, 5", "0,5"]),
        (["1,23456789012345678901", "0,5"], ["1,23456789012345678901", "0,5"]),
        (["12", "7"], [12, 7]),
    ],
)
def test_decimal_commas_where_the_semicolon_separates(table, cells, values):
    assert_read(table, ";", cells, values)


@pytest.mark.parametrize("separator", [",", "\t", "|"])
def test_commas_of_other_tables_stay(table, separator):
    rows = [["file_name", "caption", "x", "y"], ["00.wav", "c", '"0,5"', "7"], ["01.wav", "c", '"1,5"', "8"]]
    assert [clip.facts["x"] for clip in table("\n".join(map(separator.join, rows)))] == ["0,5", "1,5"]


def test_commas_stay_where_another_number_has_a_point(table):
    rows = "00.wav;c;0,5; 0.25 \n01.wav;c;1,5;\n"
    facts = [clip.facts for clip in table("file_name;caption;x;y\n" + rows)]
    assert facts == [{"x": "0,5", "y": 0.25}, {"x": "1,5", "y": None}]


@pytest.mark.parametrize("first", ["", "sep={}\n", '"sep={}"\r\n', "\ufeffsep={}\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(table, separator, first):
    line = separator.join
    text = [
        line(["file_name", '"or; all, of|it"', "text"]),
        line(["00.wav", "", '"a, b; c|d"']),
        line(["01.wav", "", "x"]),
    ]
    dataset = table(first.format(separator) + "\n".join(text) + "\n" + line(["no.wav", "", "x"]))
    assert captions(dataset) == {"00.wav": ("a, b; c|d",), "01.wav": ("x",)}
    assert [p.row for p in dataset.problems] == [5 if first else 4]


def test_absolute_names_and_detours_within_the_folder(table, sounds, tmp_path):
    (tmp_path / "link").symlink_to(sounds)
    names = [sounds / "00.wav", f"x/../{'01.wav'}", f"../{sounds.name}/02.wav", tmp_path / "link" / "03.wav"]
    dataset = table("file_name,caption\n" + "".join(f"{name},x\n" for name in names))
    assert [clip.id for clip in dataset] == ["00.wav", "01.wav", "02.wav"]
    assert [p.row for p in dataset.problems] == [5], "another name of the folder is another folder"
    (tmp_path / "t.csv").write_text(f"file_name,caption\n{tmp_path / 'link' / '03.wav'},x\n{sounds / '04.wav'},x\n")
    assert [clip.id for clip in read(tmp_path / "link", table=tmp_path / "t.csv")] == ["03.wav", "04.wav"]


def hub_cache(tmp_path, sounds):
    """A data set as the hub's cache keeps it: files in blobs/, and a snapshot of links to them."""
    home = tmp_path / "hub" / "datasets--owner--name"
    snapshot = home / "snapshots" / "0a1b" / "audio"
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    (home / "blobs" / "aa").write_bytes((sounds / "00.wav").read_bytes())
    (home / "blobs" / "bb").write_text("file_name,caption\naudio/x.wav,slow\naudio/y.wav,fast\n")
    (snapshot / "x.wav").symlink_to("../../../blobs/aa")
    (snapshot / "y.wav").symlink_to(sounds / "01.wav")
    (snapshot.parent / "metadata.csv").symlink_to("../../blobs/bb")
    return snapshot.parent


def test_links_of_the_hubs_cache_are_followed_and_others_named(tmp_path, sounds):
    root = hub_cache(tmp_path, sounds)
    dataset = read(root)
    assert captions(dataset) == {"audio/x.wav": ("slow",)}
    assert [(p.row, "link" in p.reason and "cp -rL" in p.reason) for p in dataset.problems] == [(3, True)]
    for folder in (root, root / "audio"):
        sources, failures = scan(folder)
        assert [source.path.name for source in sources] == ["x.wav"] and "link" in failures[0].reason
    assert collections.read("auto", root)[0].id == "audio/x.wav"


def test_a_folder_with_another_programs_table_is_a_folder_of_sounds(tmp_path):
    for name in ("album/1.wav", "other/2.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.full(80, 0.1), 8000)
    (tmp_path / "metadata.csv").write_text("FileName,Rating\n1.wav,5\n")
    (tmp_path / "album" / "metadata.csv").write_text("track,length\n1,60\n")
    sources, failures = scan(tmp_path)
    assert [source.id for source in sources] == ["album/1.wav", "other/2.wav"]
    assert [failure.file for failure in failures] == ["metadata.csv"] and "'file_name'" in failures[0].reason
    assert collections.detect(tmp_path)[0] == "tagged-folder"
    assert len(collections.read("auto", tmp_path)) == 2
    with pytest.raises(DataError, match="metadata.csv: no table of sounds.*FileName"):
        read(tmp_path)
    (tmp_path / "album" / "metadata.csv").write_text("file_name,caption\n1.wav,x\n")
    sources, failures = scan(tmp_path)
    assert len(sources) == 2 and "tables of their own" in failures[0].reason
    assert collections.detect(tmp_path)[0] == "tagged-folder"


@pytest.mark.parametrize(("name", "split"), [("eval", "test"), ("Holdout", "test"), ("dev", "validation"), ("x", "x")])
def test_held_out_parts_by_other_names(tmp_path, name, split):
    for folder in ("train", name):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "0.wav", np.full(80, 0.1), 8000)
        (tmp_path / folder / "metadata.csv").write_text("file_name,caption\n0.wav,x\n")
    assert {clip.id: clip.split for clip in read(tmp_path)} == {"train/0.wav": "train", f"{name}/0.wav": split}
    assert {source.facts["split"] for source in scan(tmp_path)[0]} == {"train", split}
    (tmp_path / "test").mkdir()
    assert any("test" in note and "left out" in note for note in read(tmp_path).notes)
    for folder in ("train", name):
        (tmp_path / folder / "metadata.csv").unlink()
    (tmp_path / "metadata.csv").write_text(f"file_name,caption,split\ntrain/0.wav,x,train\n{name}/0.wav,x,{name}\n")
    assert read(tmp_path).splits == {"train": 1, split: 1}


def test_eval_beside_test_stays_and_a_missing_split_is_refused_with_the_nearest(table):
    dataset = table("file_name,caption,split\n00.wav,x,train\n01.wav,x,eval\n02.wav,x,test\n")
    assert dataset.splits == {"train": 1, "test": 1, "eval": 1}
    dataset = table("file_name,caption,split\n00.wav,x,train\n01.wav,x,tests\n")
    with pytest.raises(DataError, match="no split 'test': did you mean 'tests'"):
        dataset.need("train", "test")


def test_a_changed_table_that_is_not_read_is_said(tmp_path):
    soundfile.write(tmp_path / "0.wav", np.full(80, 0.1), 8000)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "0.wav", "caption": "old"}')
    (tmp_path / "metadata.csv").write_text("file_name,caption\n0.wav,new\n")
    said = "metadata.csv: it is not read, metadata.jsonl is, though it is older, and its captions differ"
    with pytest.warns(UserWarning, match=said):
        assert any(said in note for note in read(tmp_path).notes)
    (tmp_path / "metadata.csv").write_text("caption,mood,file_name\nold,calm,0.wav\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the same captions: a remark is enough
        (tmp_path / "metadata.tsv").write_text("file_name\tcaption\n0.wav\told\n")
        assert [note.split(":")[0] for note in read(tmp_path).notes] == ["metadata.csv", "metadata.tsv"]


def test_captions_of_great_length(table):
    dataset = table(f"file_name,caption\n00.wav,{'a' * 200_000}\n01.wav,{'b' * LONGEST}\n")
    assert [len(clip.captions[0]) for clip in dataset] == [LONGEST, LONGEST]
    assert [(p.row, p.value) for p in dataset.problems] == [(2, "00.wav: 200,000 characters")]


def test_a_long_table_is_whole_wherever_its_head_ends(tmp_path):
    soundfile.write(tmp_path / "0.wav", np.full(80, 0.1), 8000)
    for encoding, mark, size in (("utf-16", 2, 2), ("utf-8", 0, 1)):  # in bytes: of the byte order mark, of an "a"
        text = "file_name,caption\n0.wav,x,\n0.wav,"
        text += "a" * ((tables._HEAD - mark) // size - len(text) - 1) + "\U0001f3b5,\n"
        (tmp_path / "metadata.csv").write_bytes(text.encode(encoding))
        assert read(tmp_path)[0].captions[1] == "x"


HARM = {
    "open a quote": lambda line, rng: line.replace(",", ',"', 1),
    "close a quote": lambda line, rng: line + '"',
    "quote inside": lambda line, rng: line[: len(line) // 2] + '"' + line[len(line) // 2 :],
    "more cells": lambda line, rng: line + ",x,y,z",
    "fewer cells": lambda line, rng: line.split(",")[0],
    "line break in a cell": lambda line, rng: line.replace("plays", '"plays\nand stops"'),
    "list": lambda line, rng: line.replace("plays", rng.choice(["['plays']", "['plays", "[[[["])),
    "bytes": lambda line, rng: line.encode() + bytes(rng.choices(range(128, 256), k=3)),
    "controls": lambda line, rng: line.replace("plays", "pl\x00a\x1bys"),
    "another file": lambda line, rng: "../" + line,
    "absolute": lambda line, rng: "/etc/passwd" + line[6:],
    "long": lambda line, rng: line + "y" * 20_000,
    "separators": lambda line, rng: line.replace(",", ";"),
    "quotes alone": lambda line, rng: '"' * rng.randrange(1, 6) + line,
    "old line ends": lambda line, rng: line + "\r",
}  # fmt: skip


def test_damaged_tables_lose_no_row_in_silence(table):
    """Rows in = rows used as they are + rows listed, by their lines."""
    for seed in range(400):
        check_damaged(table, seed)


def check_damaged(table, seed):
    rng = random.Random(seed)
    lines = [f"{i:02}.wav,number {i:02} plays,{rng.choice(['train', 'test'])}" for i in range(40)]
    for _ in range(rng.randrange(1, 9)):
        at = rng.randrange(40)
        if isinstance(lines[at], str):
            lines[at] = HARM[rng.choice([*HARM])](lines[at], rng)
    data = b"\n".join([b"file_name,caption,split", *(s if isinstance(s, bytes) else s.encode() for s in lines)])
    dataset = table(data)
    dataset.summary()
    used = {clip.id: " ".join(clip.captions) for clip in dataset}
    listed, number = {p.row for p in dataset.problems}, 2
    for i, line in enumerate(lines):
        line = line if isinstance(line, bytes) else line.encode()
        own = used.get(f"{i:02}.wav", "").replace('"', "")
        whole = f"number {i:02}" in own and own.count("number") == 1
        span = len(line.splitlines()) or 1
        assert whole or listed & set(range(number, number + span)), (seed, number, line)
        number += span


def test_random_tables_of_quotes_and_separators_end(table):
    for seed in range(100):
        rng = random.Random(seed)
        text = "".join(rng.choices(['"', '""', ",", "\n", "\r", "01.wav", "x", "\0", "[", "'"], k=1000))
        dataset = table("file_name,caption\n00.wav,first\n" + text)
        assert "first" in dataset[0].captions and dataset.problems, seed
