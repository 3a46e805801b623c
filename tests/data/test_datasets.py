"""Reading data sets: what people really have on disk, and that nothing of it is lost in silence."""

import json
import math
import os
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slapkit.data import AudioTextDataset, Clip, make_splits, read, write_table, write_webdataset
from slapkit.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    """A folder with six short sounds, a.wav to f.wav, all different."""
    root = tmp_path / "set"
    root.mkdir()
    for i, name in enumerate("abcdef"):
        soundfile.write(root / f"{name}.wav", 0.1 * np.random.default_rng(i).standard_normal(800), 8000)
    return root


def jsonl(root, *rows):
    (root / "metadata.jsonl").write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows), "utf-8")
    return root


def table(root, text, encoding="utf-8", name="metadata.csv"):
    (root / name).write_bytes(text.encode(encoding))
    return root


def row(name, *captions, **facts):
    return {"file_name": f"{name}.wav", "captions": list(captions) or [f"sound {name}"], **facts}


def reasons(dataset):
    return [(p.row, p.reason) for p in dataset.problems]


def test_a_folder_with_json_lines(folder):
    dataset = read(jsonl(folder, row("b", "one", "two", split="test", work="w1", tempo=90.5), row("a", split="train")))
    assert dataset.name == "set" and len(dataset) == 2 and not dataset.problems
    first, second = dataset
    assert first == Clip("a.wav", folder / "a.wav", ("sound a",), first.facts, "train", "a.wav")
    assert second.captions == ("one", "two") and second.group == "w1"
    assert second.facts == {"work": "w1", "tempo": 90.5}
    assert dataset.splits == {"train": 1, "test": 1}
    assert [clip.id for clip in dataset.split("test")] == ["b.wav"]
    captions, owners = dataset.captions_flat()
    assert captions == ["sound a", "one", "two"] and owners.tolist() == [0, 1, 1] and owners.dtype == np.int64
    frame = dataset.to_pandas()
    assert frame.columns.tolist()[:5] == ["id", "path", "split", "group", "captions"] and frame["tempo"][1] == 90.5
    assert "2 clips, 3 captions, 2 groups; splits: train 1, test 1" in dataset.summary()


def test_a_table_elsewhere_and_a_table_alone(folder, tmp_path):
    elsewhere = tmp_path / "tables"
    elsewhere.mkdir()
    table(elsewhere, "file_name,caption\na.wav,x\n", name="mine.csv")
    assert len(read(folder, table=elsewhere / "mine.csv", name="mine")) == 1
    shutil.copy(elsewhere / "mine.csv", folder / "mine.csv")
    assert read(folder / "mine.csv").root == folder
    with pytest.raises(DataError, match="none of metadata.jsonl.*table=...* one of .*mine.csv"):
        read(folder)


def test_folders_named_for_splits(folder):
    for split in ("train", "val"):
        (folder / split).mkdir()
        shutil.move(folder / ("a.wav" if split == "train" else "b.wav"), folder / split / "x.wav")
        jsonl(folder / split, {"file_name": "x.wav", "text": split})
    dataset = read(folder)
    assert {clip.id: clip.split for clip in dataset} == {"train/x.wav": "train", "val/x.wav": "validation"}
    for split in ("train", "val"):
        (folder / split / "metadata.jsonl").unlink()
    jsonl(folder, *({"file_name": f"{s}/x.wav", "text": s} for s in ("train", "val")))
    assert read(folder).splits == {"train": 1, "validation": 1}, "folders name splits where no column does"


def test_the_datasets_library_reads_the_same_folder(folder, monkeypatch):
    datasets = pytest.importorskip("datasets")
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError, OSError):  # without it (or FFmpeg) newer versions cannot even note a path
        monkeypatch.setattr(datasets.Audio, "encode_example", lambda self, path: {"bytes": None, "path": path})
    jsonl(folder, *(row(name, "x", "y", work=name) for name in "abcdef"))
    loaded = datasets.load_dataset("audiofolder", data_dir=str(folder), cache_dir=str(folder.parent / "hf"))["train"]
    loaded = sorted(loaded.cast_column("audio", datasets.Audio(decode=False)), key=lambda item: item["work"])
    ours = read(folder).clips
    assert [item["audio"]["path"] for item in loaded] == [str(clip.path) for clip in ours]
    assert [(tuple(item["captions"]), item["work"]) for item in loaded] == [(c.captions, c.facts["work"]) for c in ours]


def test_rows_of_a_file_are_merged(folder):
    text = "file_name,caption,mood\na.wav,two,\nb.wav,x,glad\na.wav,one,sad\na.wav,two,\n./a.wav,one,\n"
    dataset = read(table(folder, text))
    assert [clip.captions for clip in dataset] == [("one", "two"), ("x",)]
    assert dataset[0].facts == {"mood": "sad"}
    assert reasons(dataset) == [(n, "the row repeats an earlier one: merged") for n in (5, 6)]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("filename,caption\na.wav,x\n", "'file_name'.*'filename'"),
        ("path,caption\na.wav,x\n", "'file_name'.*path, caption"),
        ("file_name,captoin\na.wav,x\n", "captoin.*'captions', 'caption', 'text'"),
        ("file_name,caption,caption\na.wav,x,y\n", "'caption' twice"),
        ("", "metadata.csv"),
        ("file_name,caption\n", "metadata.csv"),
        ("\n\n", "metadata.csv"),
        ("file_name,caption\n\n , \n", "metadata.csv"),
        ("file_name,caption\n../x.wav,x\n/y.wav,x\n", "line 2: '../x.wav'"),
        ("file_name,caption\na.wav,x\n".encode("utf-16") + b"\xd8", "utf-16"),
    ],
)
def test_tables_that_cannot_be_used_name_what_was_found(folder, text, named):
    (folder / "metadata.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=named):
        read(folder)


def test_no_folder_no_table(tmp_path, folder):
    with pytest.raises(DataError, match="no data set at"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no table at all"):
        read(folder)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(folder, table=folder / "missing.csv")
    with pytest.raises(DataError, match="is no table that can be read"):
        read(folder / "a.wav")


@pytest.mark.parametrize("empty", ["", "   ", "nan", "NaN", "null", "None", "N/A", "\x00\x01", "\ufeff"])
def test_empty_captions_are_skipped_and_counted(folder, empty):
    dataset = read(jsonl(folder, row("a", empty), row("b", "x", empty), row("c")))
    assert [clip.id for clip in dataset] == ["b.wav", "c.wav"] and dataset[0].captions == ("x",)
    assert reasons(dataset) == [(1, "a caption is empty: skipped"), (2, "a caption is empty: skipped")]
    assert "2 x a caption is empty: skipped (line 1: 'a.wav'; line 2: 'b.wav')" in dataset.summary()


def test_file_names_of_other_types_and_splits(folder):
    lines = [
        '{"file_name": 7, "caption": "x"}', '{"file_name": null, "caption": "x"}', '{"caption": "x"}',
        '{"file_name": ["a.wav"], "caption": "x"}', '{"file_name": "", "caption": "x"}',
        '{"file_name": "a.wav", "caption": "x", "split": 3}', '{"file_name": "b.wav", "caption": "x", "split": "nan"}',
        '{"file_name": "c.wav", "caption": "x", "split": "Training "}',
    ]  # fmt: skip
    dataset = read(jsonl(folder, *lines))
    assert {clip.id: clip.split for clip in dataset} == {"a.wav": None, "b.wav": None, "c.wav": "train"}
    assert [p.row for p in dataset.problems] == [1, 2, 3, 4, 5, 6]


def test_lines_that_are_not_json_are_listed_by_number(folder):
    lines = [row("a"), '{"file_name": "b.wav", "captions": ["cut o', "[1, 2]", "7", "", "[" * 100_000, row("c")]
    lines.append('{"file_name": "d.wav", "captions": ["x"], "n": ' + "9" * 5000 + "}")
    dataset = read(jsonl(folder, *lines))
    assert [clip.id for clip in dataset] == ["a.wav", "c.wav"]
    assert [p.row for p in dataset.problems] == [2, 3, 4, 6, 8]
    assert dataset.problems[0].reason.startswith("the line is not JSON: Unterminated string")


def test_a_key_that_stands_twice_is_listed_with_its_own_line(folder):
    twice = '{"file_name": "b.wav", "captions": ["x"], "n": {"k": 1, "k": 2}}'
    dataset = read(jsonl(folder, '{"n": {"k": 1, "k": 2}, "cut', row("a"), twice, row("c")))
    assert [(p.row, "twice" in p.reason) for p in dataset.problems] == [(1, False), (3, True)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_encodings(folder, encoding, kind):
    text = "file_name,caption\r\na.wav,Café à la crème\r\n"
    if kind == "jsonl":
        text = '{"file_name": "a.wav", "caption": "Café à la crème"}\r\n'
    dataset = read(table(folder, text, encoding, f"metadata.{kind}"))
    assert dataset[0].captions == ("Café à la crème",)
    assert bool(dataset.notes) == (not encoding.startswith("utf-8"))
    if encoding == "latin-1":
        assert "not UTF-8" in dataset.summary() and "Windows-1252" in dataset.summary()


def test_paths_that_leave_the_folder_are_refused(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(folder / "a.wav", outside / "a.wav")
    shutil.copytree(outside, tmp_path / "set-not")
    (folder / "link.wav").symlink_to(outside / "a.wav")
    (folder / "door").symlink_to(outside)
    (folder / "inner.wav").symlink_to(folder / "b.wav")
    (folder / "dangling.wav").symlink_to(folder / "nothing")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    leaving = [
        str(outside / "a.wav"), "../outside/a.wav", "x/../../outside/a.wav", "../set-not/a.wav", "link.wav",
        "door/a.wav", "..\\outside\\a.wav", "C:\\a.wav", "/etc/passwd",
    ]  # fmt: skip
    broken = ["nul\0.wav", "\ud800.wav", "dangling.wav", "loop.wav", "door", ".", "x" * 5000, "no.wav", "a.wav/b.wav"]
    names = [*leaving, *broken, "inner.wav", "a.wav"]
    dataset = read(jsonl(folder, *({"file_name": name, "caption": "x"} for name in names)))
    assert [clip.id for clip in dataset] == ["a.wav", "inner.wav"]
    assert [p.row for p in dataset.problems] == list(range(1, len(leaving + broken) + 1))
    assert all("leaves the folder" in p.reason for p in dataset.problems[: len(leaving)])
    assert not any("leaves the folder" in p.reason for p in dataset.problems[len(leaving) + 5 :])
    dataset.summary().encode("utf-8", "replace")


def test_missing_and_empty_files_are_counted(folder):
    (folder / "b.wav").write_bytes(b"")
    dataset = read(jsonl(folder, row("a"), row("b"), row("x"), row("y")))
    assert len(dataset) == 1
    assert reasons(dataset)[0] == (2, "the file is empty (0 bytes)")
    assert "2 x the file does not exist (line 3: 'x.wav'; line 4: 'y.wav')" in dataset.summary()


def test_fingerprint_is_the_content(folder, tmp_path):
    rows = [row(name, "x", name, split="train") for name in "abc"]
    first = read(jsonl(folder, *rows)).fingerprint
    assert len(first) == 64
    assert read(jsonl(folder, *reversed(rows))).fingerprint == first, "the rows' order is nothing"
    shutil.copytree(folder, tmp_path / "moved")
    assert read(tmp_path / "moved").fingerprint == first, "the place is nothing"
    (folder / "a.wav").touch()
    assert read(folder).fingerprint == first, "the time is nothing"
    seen = {first}
    for change in ({"captions": ["x", "b!"]}, {"split": "test"}, {"work": "w"}, {"genre": "jazz"}, {"genre": ["jazz"]}):
        seen.add(read(jsonl(folder, rows[0], rows[1] | change, rows[2])).fingerprint)
    seen.add(read(jsonl(folder, *rows[:2])).fingerprint)
    dataset = read(jsonl(folder, *rows))
    data = bytearray((folder / "b.wav").read_bytes())
    data[-1] ^= 1
    (folder / "b.wav").write_bytes(data)
    os.utime(folder / "b.wav", ns=(1, 1))
    seen.add(dataset.fingerprint)
    assert len(seen) == 8, "captions, splits, groups, facts, clips and every audio byte count"
    seen.add(dataset.split("train").subset([0]).fingerprint)
    assert len(seen) == 9


@pytest.mark.parametrize(
    "value, same",
    [
        (math.nan, None),
        ([1.0, math.inf], [1.0, None]),
        (np.float32(0.5), 0.5),
        (np.array([1, 2]), [1, 2]),
        ((1, "a"), [1, "a"]),
        ({"b", "a"}, ["a", "b"]),
        ({1: np.int64(2)}, {"1": 2}),
        ("\ud800", "?"),
        (Path("x"), "x"),
        (json.loads("[" * 900 + "]" * 900), json.loads("[" * 50 + "null" + "]" * 50)),
    ],
)
def test_facts_of_any_type_count_and_can_be_written(folder, tmp_path, value, same):
    def made(fact):
        return AudioTextDataset(
            folder, [Clip("a.wav", folder / "a.wav", ("x",), {"fact": fact, "b": 1}, None, "a.wav")]
        )

    assert made(value).fingerprint == made(same).fingerprint != made("another").fingerprint
    written = read(folder, table=write_table(made(value), tmp_path / "t.jsonl"))
    assert written.fingerprint == made(value).fingerprint and written[0].facts["fact"] == same


def many(folder, groups, copies=4):
    """Write a data set of `groups` works with `copies` clips each; sounds are a few bytes, never decoded here."""
    rows = []
    for g in range(groups):
        for c in range(copies):
            (folder / f"{g}-{c}.wav").write_bytes(f"{g}-{c}".encode())
            rows.append(row(f"{g}-{c}", work=f"work {g}"))
    return read(jsonl(folder, *rows))


def test_splits_keep_groups_whole_and_repeat(folder, tmp_path):
    dataset = many(folder, 50)
    divided = make_splits(dataset, seed=3)
    assert divided.splits == {"train": 160, "validation": 20, "test": 20}
    sides = {}
    for clip in divided:
        sides.setdefault(clip.group, set()).add(clip.split)
    assert len(sides) == 50 and all(len(side) == 1 for side in sides.values())
    assert divided.fingerprint == make_splits(dataset, seed=3).fingerprint != make_splits(dataset, seed=4).fingerprint
    shutil.copytree(folder, tmp_path / "moved")
    assert make_splits(read(tmp_path / "moved"), seed=3).fingerprint == divided.fingerprint
    assert all(clip.split is None for clip in dataset), "the data set given stays as it was"


def test_equal_sounds_never_stand_in_two_splits(folder):
    many(folder, 30)
    for g in range(1, 12):
        shutil.copy(folder / "0-0.wav", folder / f"{g}-1.wav")
    divided = make_splits(read(folder), seed=0, fractions={"a": 0.5, "b": 0.5})
    assert len({clip.split for clip in divided if clip.group in {f"work {g}" for g in range(12)}}) == 1


def test_splits_that_cannot_be_made(folder):
    dataset = read(jsonl(folder, *(row(name, work="one") for name in "abc")))
    with pytest.raises(DataError, match="1 groups, too few for the 3 splits"):
        make_splits(dataset)
    for wrong in ({}, {"train": 0.5}, {"train": 1.5, "test": -0.5}):
        with pytest.raises(ConfigError, match="fractions"):
            make_splits(dataset, fractions=wrong)
    with pytest.raises(ConfigError, match="seed=-1"):
        make_splits(dataset, seed=-1)


def test_splits_written_beside_the_table_are_read_from_now_on(folder):
    """The table of the person stays, and what is written gives every clip back as it was."""
    text = "file_name,caption,work,tempo\n" + "".join(
        f"{n}.wav,sound «{n}»,{n}{n},{90.5 + i}\n" for i, n in enumerate("abcdef")
    )
    table(folder, text)
    divided = make_splits(read(folder), seed=0, fractions={"train": 0.5, "test": 0.5})
    path = write_table(divided)
    again = read(folder)
    assert path == folder / "metadata.jsonl" and (folder / "metadata.csv").read_text("utf-8") == text
    assert list(again) == list(divided) and again.splits == {"train": 3, "test": 3}
    assert again.fingerprint == divided.fingerprint
    with pytest.raises(DataError, match="metadata.jsonl exists already: move it away"):
        write_table(divided)
    assert list(read(folder, table=write_table(divided, folder.parent / "other.jsonl"))) == list(divided)


def test_a_table_that_could_not_be_read_is_not_written(folder, tmp_path):
    clips = [replace(clip, path=tmp_path / "elsewhere.wav") for clip in read(jsonl(folder, row("a")))]
    with pytest.raises(DataError, match="elsewhere.wav lies outside"):
        write_table(AudioTextDataset(folder, clips), folder / "t.jsonl")
    with pytest.raises(DataError, match="call it t.jsonl"):
        write_table(AudioTextDataset(folder, ()), folder / "t.csv")
    assert not list(folder.glob("t.*"))


def test_facts_named_as_a_column_are_kept_beside_it(folder, tmp_path):
    facts = {name: f"fact {name}" for name in ("captions", "caption", "text", "audio", "id", "path", "file_name")}
    dataset = AudioTextDataset(folder, [Clip("a.wav", folder / "a.wav", ("a jig",), facts, None, "a.wav")])
    write_webdataset(dataset, tmp_path / "tars")
    for again in (read(folder, table=write_table(dataset, tmp_path / "t.jsonl")), read(tmp_path / "tars")):
        assert again[0].captions == ("a jig",) and {*again[0].facts.values()} == {*facts.values()}
    (row,) = dataset.to_pandas().to_dict("records")
    assert row["id"] == "a.wav" and row["id (table)"] == "fact id" and len(row) == 5 + len(facts)
    pytest.importorskip("datasets")
    (row,) = dataset.to_datasets()["all"].data.to_pylist()
    assert row["audio"]["path"] == str(folder / "a.wav") and row["audio (table)"] == "fact audio"


@pytest.mark.parametrize("facts", [("a text", 1), (10**30, 1)])
def test_facts_that_fit_no_column_of_datasets_are_refused(folder, facts):
    pytest.importorskip("datasets")
    dataset = read(jsonl(folder, *(row(name, fact=fact) for name, fact in zip("ab", facts))))
    with pytest.raises(DataError, match="a fact of the clips in 'all'"):
        dataset.to_datasets()


def test_two_names_that_differ_in_their_form_of_unicode_are_no_file(folder):
    names = [unicodedata.normalize(form, "\u00e9.wav") for form in ("NFC", "NFD")]
    for name, source in zip(names, "ab"):
        shutil.copy(folder / f"{source}.wav", folder / name)
    dataset = read(jsonl(folder, *({"file_name": name, "caption": text} for name, text in zip(names, "xy"))))
    assert [(clip.path, clip.captions) for clip in dataset] == [(folder / names[0], ("x",))]
    assert [p.row for p in dataset.problems] == [2]


def test_clips_without_a_split_take_no_other_split_away(folder, tmp_path):
    rows = [row("a", split="all"), row("b"), row("c", split="x y"), row("d", split="x-y"), row("e", split="train")]
    dataset = read(jsonl(folder, *rows))
    paths = write_webdataset(dataset, tmp_path / "tars")
    assert [path.name[:-11] for path in paths] == ["train", "all", "x-y", "x-y"] and len(set(paths)) == 4
    assert sorted((clip.captions, clip.split) for clip in read(tmp_path / "tars")) == [
        (clip.captions, clip.split) for clip in dataset
    ]
    pytest.importorskip("datasets")
    assert {split: len(clips) for split, clips in dataset.to_datasets().items()} == {
        "train": 1, "all": 2, "x y": 1, "x-y": 1,
    }  # fmt: skip


def test_of_contradicting_splits_and_groups_the_first_is_kept(folder):
    dataset = read(jsonl(folder, row("a", "x", split="train", work="v"), row("a", "y", split="test", work="w")))
    assert (dataset[0].split, dataset[0].group) == ("train", "v")
    assert [p.value for p in dataset.problems] == ["a.wav: test, not train", "a.wav: w, not v"]


def test_columns_that_contradict_an_earlier_row_of_the_file_are_counted(folder):
    rows = [row("a", "x", year=1999, by="Ann"), row("a", "y", year=2001), row("a", "z", year=2002, by="Ann", key="C")]
    dataset = read(jsonl(folder, *rows, row("b", year=2003)))
    assert {k: dataset[0].facts[k] for k in ("year", "by", "key")} == {"year": 1999, "by": "Ann", "key": "C"}
    assert [note.split(":")[0] for note in dataset.notes] == ["year"] and "2 rows" in dataset.notes[0]


def test_clips_in_no_split_are_counted_where_others_are_in_one(folder):
    rows = [row("a", split="train"), row("b", split="test"), row("c", split=""), row("d")]
    assert "splits: train 1, test 1, in none 2 (not used" in read(jsonl(folder, *rows)).summary()
    assert "splits: none given\n" in read(jsonl(folder, row("a"), row("b"))).summary() + "\n"


def test_rows_with_too_many_or_too_few_cells(folder):
    dataset = read(table(folder, "file_name,caption,n\na.wav,slow, sad,1\nb.wav\nc.wav,x\n"))
    assert [clip.id for clip in dataset] == ["c.wav"]
    assert [p.row for p in dataset.problems] == [2, 3] and "more cells than the header" in dataset.problems[0].reason


def test_numbers_that_json_has_not_are_nothing(folder):
    lines = [f'{{"file_name": "{n}.wav", "caption": "x", "work": {value}, "tempo": [{value}, 1.5]}}'
             for n, value in zip("abc", ("NaN", "-Infinity", "1e999"))]  # fmt: skip
    dataset = read(jsonl(folder, *lines))
    assert [(clip.facts["work"], clip.facts["tempo"], clip.group) for clip in dataset] == [
        (None, [None, 1.5], clip.id) for clip in dataset
    ]


def test_groups_and_works_of_nothing_are_none(folder):
    rows = [row("a", work=""), row("b", work=" "), row("c", work="nan"), row("d", group="", work="w"), row("e", work=0)]
    assert [clip.group for clip in read(jsonl(folder, *rows))] == ["a.wav", "b.wav", "c.wav", "w", "0"]


def test_a_group_of_its_own_is_written_too(folder):
    clips = [replace(clip, group="all") for clip in read(jsonl(folder, row("a"), row("b", split="test")))]
    path = write_table(AudioTextDataset(folder, clips), folder / "t.jsonl")
    assert [(clip.group, clip.split) for clip in read(folder, table=path)] == [("all", None), ("all", "test")]
