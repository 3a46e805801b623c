"""Each layout as published gives its clips, splits, labels and groups; with a name changed it says which."""

import re

import numpy as np
import pytest
import soundfile

from slapkit.data import collections
from slapkit.errors import ConfigError, DataError

OPTIONS = {"slap-csv": {"sample_rate": 16000, "waves": "waves"}}


def options(name, tmp_path):
    return {"sample_rate": 16000, "waves": tmp_path / "waves"} if name == "slap-csv" else {}


def by_id(dataset):
    return {clip.id: clip for clip in dataset}


def test_musiccaps(make):
    dataset = collections.read("musiccaps", make("musiccaps"))
    clips = {clip.facts["ytid"]: clip for clip in dataset}
    assert dataset.splits == {"train": 1, "test": 2}
    first = clips["-0Gj8-vB1q4"]
    assert first.id == "audio/-0Gj8-vB1q4.wav" and first.split == "test" and first.group == "-0Gj8-vB1q4"
    assert first.facts["tags"] == ["low quality", "singer's voice"]
    assert first.facts["audioset_labels"] == ["/m/0140xf", "/m/02cjck"]
    assert (first.facts["start_s"], first.facts["end_s"], first.facts["author_id"]) == (30, 40, 4)
    assert clips["-0SdAVK79lg"].captions == ('A piano, and a "guitar".',)
    assert (
        clips["0_aB-cD9eF_"].path.name == "0_aB-cD9eF__0_10.flac" and clips["0_aB-cD9eF_"].facts["is_balanced_subset"]
    )
    assert [(p.row, p.value) for p in dataset.problems] == [(5, "zzzzzzzzzzz")]
    assert "1 of the 4 clips" in dataset.summary()


@pytest.mark.parametrize(
    "name",
    ["{}", "Y{}", "[{}]-[30-40]", "{}_30_40", "{}-30-40", "{}_30.0_40.0", "{}_30000_40000", "{}_30", "{}_30-40"],
)
def test_musiccaps_names_of_sounds(make, name):
    root = make("musiccaps")
    (root / "audio" / "-0Gj8-vB1q4.wav").rename(root / "audio" / f"{name.format('-0Gj8-vB1q4')}.wav")
    assert "-0Gj8-vB1q4" in {clip.group for clip in collections.read("musiccaps", root)}


def test_musiccaps_sounds_of_other_clips_are_not_taken(make):
    root = make("musiccaps")
    for other in ("-0Gj8-vB1q4x", "-0Gj8-vB1q4_40_50", "-0gj8-vb1q4", "[-0Gj8-vB1q4]-[130-140]"):
        (root / "audio" / "-0Gj8-vB1q4.wav").rename(root / "audio" / "moved.wav")
        (root / "audio" / "moved.wav").rename(root / "audio" / f"{other}.wav")
        assert "-0Gj8-vB1q4" not in {clip.group for clip in collections.read("musiccaps", root)}, other
        (root / "audio" / f"{other}.wav").rename(root / "audio" / "-0Gj8-vB1q4.wav")


def test_musiccaps_whole_videos_are_refused(make):
    root = make("musiccaps")
    make.sound(root / "audio" / "-0Gj8-vB1q4.wav", seconds=14)
    dataset = collections.read("musiccaps", root)
    assert len(dataset) == 2 and any("longer than the clip" in p.reason for p in dataset.problems)
    make.sound(root / "audio" / "-0Gj8-vB1q4.wav", seconds=10.5)
    assert len(collections.read("musiccaps", root)) == 3


def test_musiccaps_without_sounds(make):
    root = make("musiccaps")
    for path in [*root.rglob("*.wav"), *root.rglob("*.flac")]:
        path.unlink()
    with pytest.raises(DataError, match="no sound files .*ytid.wav"):
        collections.read("musiccaps", root)


def test_song_describer(make):
    dataset = collections.read("song-describer", make("song-describer"))
    clips = by_id(dataset)
    assert list(clips) == ["audio/34/1004034.2min.mp3", "audio/74/1007274.2min.mp3", "audio/75/1007275.2min.mp3"]
    assert dataset.splits == {"test": 3} and not dataset.problems
    first = clips["audio/34/1004034.2min.mp3"]
    assert first.captions == ("Electronic tune with a 4/4 beat", "Another one, slower")
    assert first.facts["caption_ids"] == [859, 860] and first.facts["valid"] == [True, False]
    assert first.facts["familiarity"] == [0, 3] and first.facts["original_s"] == 202.5
    assert first.group == "artist 368880"
    assert clips["audio/74/1007274.2min.mp3"].group == clips["audio/75/1007275.2min.mp3"].group


def test_song_describer_valid_captions_only(make):
    dataset = collections.read("song-describer", make("song-describer"), captions="valid")
    assert [clip.captions for clip in dataset] == [("Electronic tune with a 4/4 beat",), ("Acoustic guitar",)]
    with pytest.raises(ConfigError, match="captions='some'"):
        collections.read("song-describer", dataset.root, captions="some")


def test_song_describer_facts_follow_its_captions(make):
    root = make("song-describer")
    path = root / "song_describer.csv"
    more = '861,1004034,"Another  one, slower",True,4,368880,118196,34/1004034.mp3,202.5\n'
    more += "862,1004034,nan,True,4,368880,118196,34/1004034.mp3,202.5\n"
    more += "863,1004034,Third,True,5,368880,118196,34/1004034.mp3,202.5\n"
    path.write_text(path.read_text() + more)
    clip = collections.read("song-describer", root)[0]
    assert clip.captions == ("Electronic tune with a 4/4 beat", "Another one, slower", "Third")
    assert clip.facts["caption_ids"] == [859, 860, 863] and clip.facts["familiarity"] == [0, 3, 5]


def test_song_describer_unpacked_one_folder_deeper(make):
    root = make("song-describer")
    (root / "audio").rename(root / "moved")
    (root / "audio").mkdir()
    (root / "moved").rename(root / "audio" / "audio")
    assert len(collections.read("song-describer", root)) == 3


@pytest.mark.parametrize(
    ("suffix", "home"), [(".wav", "genres_original"), (".au", "genres"), (".wav", "Data/genres_original")]
)
def test_gtzan(make, suffix, home):
    root = make("gtzan", suffix=suffix, home=home)
    if home.startswith("Data"):
        assert len(collections.read("gtzan", root)) == 29, "lists may lie beside Data/"
    dataset = collections.read("gtzan", root)
    assert dataset.splits == {"train": 9, "validation": 9, "test": 8}, "jazz.00054 is corrupt"
    names = {clip.path.stem: clip for clip in dataset}
    assert names["blues.00029"].split == "train" and names["pop.00000"].split == "validation"
    assert names["metal.00054"].split == "test" and names["rock.00054"].split is None
    assert names["hiphop.00029"].facts == {"genre": "hiphop", "number": 29}
    assert names["hiphop.00029"].group == names["hiphop.00029"].id and names["hiphop.00029"].captions == ()
    assert "jazz.00054" not in names
    known = "no header of AU" if suffix == ".au" else "cannot be decoded, as is known"
    assert [p.value for p in dataset.problems if known in p.reason] == [
        f"{home}/jazz/jazz.00054.wav".removeprefix("Data/")
    ]
    assert sum("does not exist" in p.reason for p in dataset.problems) == 970
    assert any("3 excerpts are in no list" in note for note in dataset.notes)


def test_gtzan_keeps_a_good_copy_of_the_excerpt_that_is_known_to_be_bad(make):
    root = make("gtzan")
    make.sound(root / "genres_original" / "jazz" / "jazz.00054.wav", 7)
    assert collections.read("gtzan", root).splits["test"] == 9


def test_gtzan_lists_by_number(make):
    root = make("gtzan")
    for name, number in (("train", 29), ("valid", 0), ("test", 54)):
        text = "\n".join(f"{100 * genre + number + 1:12}" for genre in range(9))
        (root / f"{name}_filtered.txt").write_text(text)
    assert collections.read("gtzan", root).splits == {"train": 9, "validation": 9, "test": 8}


def test_gtzan_without_lists(make):
    root = make("gtzan")
    (root / "valid_filtered.txt").unlink()
    with pytest.raises(DataError, match=r"lacks valid_filtered.txt.*coreyker.*splits='none'"):
        collections.read("gtzan", root)
    dataset = collections.read("gtzan", root, splits="none")
    assert len(dataset) == 29 and dataset.splits == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("blues/blues.00054.wav", "test_filtered.txt, line 1: blues.00054 is in train_filtered.txt already"),
        ("polka/polka.00001.wav", "polka"), ("blues/blues.00100.wav", "00100"), ("0", "'0'"), ("1001", "1001"),
    ],
)  # fmt: skip
def test_gtzan_lists_that_say_something_else(make, line, words):
    root = make("gtzan")
    path = root / "train_filtered.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=words):
        collections.read("gtzan", root)


def test_magnatagatune(make):
    dataset = collections.read("magnatagatune", make("magnatagatune"))
    clips = {clip.facts["clip_id"]: clip for clip in dataset}
    assert {id: clip.split for id, clip in clips.items()} == {
        2: "test", 6: "test", 10: "train", 11: "train", 12: "validation", 13: "test",
    }  # fmt: skip
    assert clips[2].facts["tags"] == ["guitar", "classical"] and clips[13].facts["tags"] == []
    assert clips[11].facts["tags"] == ["guitar", "hard rock"]
    assert clips[2].group == clips[6].group == "artist Soloists"
    assert clips[11].group == "b/seismic_anamoly-sea_of_mines-03-piker"
    assert clips[2].facts["title"] == "Title, 0" and clips[2].facts["start_s"] == 30 and clips[2].facts["end_s"] == 59
    assert any(note.startswith("5 tags; 1 clips have none") for note in dataset.notes)


def test_magnatagatune_most_frequent_tags(make):
    root = make("magnatagatune")
    two = collections.read("magnatagatune", root, top=2)
    assert {tag for clip in two for tag in clip.facts["tags"]} == {"guitar", "classical"}
    assert len(two) == 6 and len(collections.read("magnatagatune", root, top=2, drop_untagged=True)) == 4
    merged = collections.read("magnatagatune", root, top=2, merge_synonyms=True)
    assert sum("classical" in clip.facts["tags"] for clip in merged) == 3, "with its misspelling"
    assert "clasical" not in {tag for clip in merged for tag in clip.facts["tags"]}
    assert {tag for clip in collections.read("magnatagatune", root, top=None) for tag in clip.facts["tags"]} >= {
        "clasical"
    }
    with pytest.raises(ConfigError, match="top=0"):
        collections.read("magnatagatune", root, top=0)


def test_magnatagatune_top_fifty_of_many(make):
    root = make("magnatagatune")
    rng = np.random.default_rng(0)
    tags = [f"tag {i}" for i in range(188)]
    truth = (rng.random((6, 188)) < rng.random(188)).astype(int)
    paths = [line.split("\t")[-1].strip('"') for line in (root / "annotations_final.csv").read_text().splitlines()[1:]]
    table = [[i, *row, path] for i, (row, path) in enumerate(zip(truth, paths))]
    make.rows(root / "annotations_final.csv", ["clip_id", *tags, "mp3_path"], table, delimiter="\t")
    dataset = collections.read("magnatagatune", root)
    # Oracle: a stable sort by falling count.
    best = {tags[i] for i in sorted(range(188), key=lambda i: -truth[:, i].sum())[:50]}
    assert {tag for clip in dataset for tag in clip.facts["tags"]} == best
    for clip in dataset:
        row = truth[clip.facts["clip_id"]]
        assert set(clip.facts["tags"]) == {tag for tag, one in zip(tags, row) if one} & best


def test_magnatagatune_empty_files_as_published(make):
    root = make("magnatagatune")
    (root / "0" / "norine_braun-now_and_zen-08-gently-1-30.mp3").write_bytes(b"")
    dataset = collections.read("magnatagatune", root)
    assert [(p.row, p.reason) for p in dataset.problems] == [(4, "the file is empty (0 bytes)")]
    (root / "mp3").mkdir()
    for place in "0bcdf":
        (root / place).rename(root / "mp3" / place)
    assert len(collections.read("magnatagatune", root)) == 5, "the sounds may lie in mp3/"


def test_magnatagatune_values_that_are_no_tags(make):
    root = make("magnatagatune")
    path = root / "annotations_final.csv"
    path.write_text(path.read_text().replace('"1"', '"2"', 1))
    with pytest.raises(DataError, match="holds 2 where 0 or 1"):
        collections.read("magnatagatune", root)


@pytest.mark.parametrize("objects", [True, False])
def test_openmic(make, objects):
    dataset = collections.read("openmic", make("openmic", objects=objects))
    clips = by_id(dataset)
    assert dataset.splits == {"train": 2, "test": 2} and not dataset.problems
    first = clips["audio/000/000046_3840.ogg"]
    assert first.facts["instruments"] == ["voice"] and first.facts["instruments_known"] == ["clarinet", "voice"]
    assert first.facts["relevance"] == {"clarinet": 0.17, "voice": 1.0}
    assert clips["audio/000/000135_483840.ogg"].facts["instruments"] == ["flute"], "0.5 counts as heard"
    assert clips["audio/000/000178_3840.ogg"].facts["instruments"] == []
    assert clips["audio/000/000178_3840.ogg"].facts["instruments_known"] == ["piano"]
    assert clips["audio/155/155311_453120.ogg"].split == "test"
    assert first.group == "artist 7" and len({clip.group for clip in dataset}) == 3


def test_openmic_groups_without_metadata_and_the_folder_above(make, tmp_path):
    make("openmic", metadata=False).rename(tmp_path / "openmic-2018")
    dataset = collections.read("openmic", tmp_path)
    assert {clip.group for clip in dataset} == {"track 000046", "track 000135", "track 000178", "track 155311"}
    assert any("grouped by track" in note for note in dataset.notes)


def test_openmic_parts_that_share_a_clip(make):
    root = make("openmic")
    with open(root / "partitions" / "split01_test.csv", "a") as file:
        file.write("000046_3840\n")
    with pytest.raises(DataError, match="000046_3840 is in the other part too"):
        collections.read("openmic", root)


def test_slap_csv(make, tmp_path):
    root = make("slap-csv")
    dataset = collections.read("slap-csv", root / "captions.csv", sample_rate=16000, waves=tmp_path / "waves")
    clips = by_id(dataset)
    assert dataset.splits == {"train": 1, "validation": 1, "test": 1}
    assert clips["audio/track_1.wav"].captions == ("one caption",)
    assert clips["audio/track_2.mp3"].captions == ("first", "second, longer"), "the sound beside its array"
    assert clips["audio/track_2.mp3"].facts["npy_path"] == "audio/track_2.npy"
    wave, rate = soundfile.read(clips["audio/track_3.npy"].path, dtype="float32")
    assert rate == 16000
    np.testing.assert_array_equal(wave, np.load(root / "audio" / "track_3.npy"))
    assert clips["audio/track_3.npy"].captions == ("said of a waveform",)


def test_slap_csv_waveforms_need_a_rate_and_a_folder(make, tmp_path):
    root = make("slap-csv")
    for given in ({}, {"sample_rate": 16000}, {"waves": tmp_path / "waves"}):
        with pytest.raises(DataError, match=r"track_3.npy is a waveform \[1600\].*sample_rate=.*waves="):
            collections.read("slap-csv", root, **given)
    with pytest.raises(ConfigError, match="sample_rate=10"):
        collections.read("slap-csv", root, sample_rate=10, waves=tmp_path / "waves")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((64, 1000), np.float32), "spectrogram"), (np.zeros((1, 64, 100), np.float32), "spectrogram"),
        (np.zeros(100, complex), "complex128"), (np.zeros(0, np.float32), "no values"),
        (np.full(100, np.nan), "NaN"), (np.full(100, 1e9), "not sound"), (np.zeros((1600, 2)), "more channels"),
        (np.zeros(100, np.int64), "int64"),
    ],
)  # fmt: skip
def test_slap_csv_arrays_that_are_no_waveforms(make, tmp_path, array, words):
    root = make("slap-csv")
    np.save(root / "audio" / "track_3.npy", array)
    dataset = collections.read("slap-csv", root, sample_rate=16000, waves=tmp_path / "waves")
    assert len(dataset) == 2 and any(words in p.reason for p in dataset.problems)


def test_slap_csv_integers_channels_and_conversion_once(make, tmp_path):
    root = make("slap-csv")
    source = root / "audio" / "track_3.npy"
    np.save(source, np.array([[0, 16384, -32768], [0, 0, -32768]], dtype=np.int16))
    given = {"sample_rate": 8000, "waves": tmp_path / "waves"}
    path = by_id(collections.read("slap-csv", root, **given))["audio/track_3.npy"].path
    np.testing.assert_array_equal(soundfile.read(path)[0], [0, 0.25, -1])
    stamp = path.stat().st_mtime_ns
    collections.read("slap-csv", root, **given)
    assert path.stat().st_mtime_ns == stamp, "written once"


def test_slap_csv_names_relative_to_the_folder_above(make, tmp_path):
    root = make("slap-csv")
    (root / "tables").mkdir()
    (root / "captions.csv").rename(root / "tables" / "captions.csv")
    given = {"sample_rate": 16000, "waves": tmp_path / "waves"}
    assert len(collections.read("slap-csv", root / "tables" / "captions.csv", **given)) == 3
    assert len(collections.read("slap-csv", root / "tables" / "captions.csv", root=root, **given)) == 3


def test_slap_csv_sets_that_contradict_or_are_unknown(make, tmp_path):
    root = make("slap-csv")
    make.sound(root / "audio" / "x.wav", 9)
    with open(root / "captions.csv", "a") as file:
        file.write("audio/x.wav,a,dev set\naudio/track_1.wav,another,test\n")
    dataset = collections.read("slap-csv", root, sample_rate=16000, waves=tmp_path / "waves")
    clips = by_id(dataset)
    assert clips["audio/x.wav"].split is None and clips["audio/track_1.wav"].split == "train"
    assert clips["audio/track_1.wav"].captions == ("one caption", "another")
    assert len(dataset.problems) == 2


def test_a_folder_of_tagged_music(tmp_path):
    for name, artist, genre in (("a", "Anna", "Jazz"), ("b", "Anna", "Jazz"), ("deep/c", "", "")):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        with soundfile.SoundFile(path, "w", 8000, 1) as file:
            if artist:
                file.artist, file.genre, file.title = artist, genre, f"Piece {name}"
            file.write(0.1 * np.random.default_rng(len(name) + ord(name[-1])).standard_normal(800))
    (tmp_path / "empty.wav").write_bytes(b"")
    dataset = collections.read("tagged-folder", tmp_path)
    clips = by_id(dataset)
    assert clips["a.wav"].facts["genre"] == "Jazz" and clips["a.wav"].facts["title"] == "Piece a"
    assert clips["a.wav"].group == clips["b.wav"].group == "artist Anna" and clips["deep/c.wav"].group == "deep/c.wav"
    assert [p.value for p in dataset.problems] == ["empty.wav"]
    assert by_id(collections.read("tagged-folder", tmp_path, group="clip"))["a.wav"].group == "a.wav"
    with pytest.raises(ConfigError, match="group='genre'"):
        collections.read("tagged-folder", tmp_path, group="genre")
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.wav,x\n")
    with pytest.raises(DataError, match="layout 'table'"):
        collections.read("tagged-folder", tmp_path)


COLUMNS = [
    *(("musiccaps", "musiccaps-public.csv", name) for name in (
        "ytid", "start_s", "end_s", "audioset_positive_labels", "aspect_list", "caption", "author_id",
        "is_balanced_subset", "is_audioset_eval")),
    *(("song-describer", "song_describer.csv", name) for name in (
        "caption_id", "track_id", "caption", "is_valid_subset", "familiarity", "artist_id", "album_id", "path",
        "duration")),
    *(("magnatagatune", "annotations_final.csv", name) for name in ("clip_id", "mp3_path")),
    *(("magnatagatune", "clip_info_final.csv", name) for name in (
        "clip_id", "title", "artist", "album", "segmentStart", "segmentEnd", "mp3_path")),
    *(("openmic", "openmic-2018-metadata.csv", name) for name in ("sample_key", "artist_id")),
    *(("slap-csv", "captions.csv", name) for name in ("npy_path", "caption", "set")),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "file", "column"), COLUMNS)
def test_a_renamed_column_is_named(make, tmp_path, layout, file, column):
    root = make(layout)
    head, rest = (root / file).read_text().split("\n", 1)
    changed = re.sub(rf"(?<![\w]){column}(?![\w])", f"{column}x", head)
    assert changed != head
    (root / file).write_text(changed + "\n" + rest)
    given = options(layout, tmp_path)
    with pytest.raises(DataError, match=rf"no column '{column}'|columns .*{column}"):
        collections.read(layout, root / file if layout == "slap-csv" else root, **given)


FILES = [
    ("musiccaps", "musiccaps-public.csv"),
    ("song-describer", "song_describer.csv"), ("song-describer", "audio"),
    ("gtzan", "genres_original"), ("gtzan", "genres_original/disco"), ("gtzan", "train_filtered.txt"),
    ("gtzan", "valid_filtered.txt"), ("gtzan", "test_filtered.txt"),
    ("magnatagatune", "annotations_final.csv"), ("magnatagatune", "clip_info_final.csv"), ("magnatagatune", "0"),
    ("openmic", "openmic-2018.npz"), ("openmic", "class-map.json"), ("openmic", "partitions/split01_train.csv"),
    ("openmic", "partitions/split01_test.csv"), ("openmic", "audio"),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "file"), FILES)
def test_a_renamed_file_is_named_with_its_place_of_publication(make, layout, file):
    root = make(layout)
    (root / file).rename(root / "renamed")
    with pytest.raises(DataError, match=rf"lacks .*{re.escape(file)}.*published at http|lacks .*{file}.*Zenodo, DOI"):
        collections.read(layout, root)


def test_all_missing_files_are_named_at_once(tmp_path):
    (tmp_path / "audio.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"lacks song_describer.csv, audio/ .*not unpacked yet: audio.zip.*10072001"):
        collections.read("song-describer", tmp_path)
    with pytest.raises(
        DataError, match=r"openmic-2018.npz, class-map.json, .*split01_train.csv, .*split01_test.csv, audio/"
    ):
        collections.read("openmic", tmp_path)


@pytest.mark.parametrize("array", ["Y_true", "Y_mask", "sample_key"])
def test_openmic_renamed_arrays_are_named(make, array):
    root = make("openmic")
    with np.load(root / "openmic-2018.npz", allow_pickle=True) as file:
        content = {f"{name}x" if name == array else name: file[name] for name in file.files}
    np.savez(root / "openmic-2018.npz", **content)
    with pytest.raises(DataError, match=f"no array '{array}'.*found: .*{array}x"):
        collections.read("openmic", root)


@pytest.mark.parametrize(
    "change",
    [{"Y_true": np.zeros((4, 19))}, {"Y_mask": np.zeros((3, 20), bool)}, {"Y_true": np.full((4, 20), 1.5)},
     {"Y_true": np.full((4, 20), np.nan)}, {"sample_key": np.array(["000046_3840"] * 4, dtype=object)},
     {"sample_key": np.array(["000046_3840"] * 4)}, {"sample_key": np.zeros(4)}, {"sample_key": np.array(["x"] * 4)},
     {"Y_true": np.full((4, 20), "a")}],
)  # fmt: skip
def test_openmic_arrays_that_do_not_fit(make, change):
    root = make("openmic")
    with np.load(root / "openmic-2018.npz", allow_pickle=True) as file:
        content = {name: file[name] for name in file.files} | change
    np.savez(root / "openmic-2018.npz", **content)
    with pytest.raises(DataError, match="|".join(["Y_true", "Y_mask", "sample_key"])):
        collections.read("openmic", root)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": "0"}', "[" * 100_000])
def test_openmic_class_map_that_is_none(make, text):
    root = make("openmic")
    (root / "class-map.json").write_text(text)
    with pytest.raises(DataError, match="class-map.json"):
        collections.read("openmic", root)


@pytest.mark.parametrize("layout", ["musiccaps", "song-describer", "gtzan", "magnatagatune", "openmic", "slap-csv"])
def test_the_layout_is_found_by_what_lies_there(make, tmp_path, layout):
    dataset = collections.read("auto", make(layout), **options(layout, tmp_path))
    assert dataset.name == layout and "is there" in dataset.notes[0] and layout in dataset.notes[0]
    assert dataset.fingerprint == collections.read(layout, tmp_path / layout, **options(layout, tmp_path)).fingerprint


def test_other_folders_are_told_apart(make, tmp_path):
    folder = tmp_path / "own"
    make.sound(folder / "deep" / "a.wav")
    assert collections.detect(folder)[0] == "tagged-folder"
    (folder / "metadata.csv").write_text("file_name,caption\ndeep/a.wav,x\n")
    assert collections.detect(folder) == ("table", "metadata.csv")
    assert collections.read("auto", folder)[0].captions == ("x",)
    assert collections.detect(folder / "metadata.csv")[0] == "table"
    (folder / "song_describer.csv").write_text("")
    with pytest.raises(DataError, match="several collections: song-describer .*table"):
        collections.read("auto", folder)


def test_nothing_that_is_known(tmp_path):
    with pytest.raises(DataError, match="holds nothing: no layout known here .musiccaps"):
        collections.read("auto", tmp_path)
    (tmp_path / "mp3.zip.001").write_bytes(b"")
    with pytest.raises(DataError, match=r"parts of one archive: `cat mp3.zip.\* > mp3.zip`"):
        collections.read("auto", tmp_path)
    with pytest.raises(DataError, match="is an archive; not unpacked yet: x.tar.gz"):
        (tmp_path / "x.tar.gz").write_bytes(b"")
        collections.read("auto", tmp_path / "x.tar.gz")
    with pytest.raises(DataError, match="no collection at"):
        collections.read("auto", tmp_path / "nowhere")


@pytest.mark.parametrize("layout", list(collections.LAYOUTS))
def test_no_folder(tmp_path, layout):
    with pytest.raises(DataError, match="nowhere"):
        collections.read(layout, tmp_path / "nowhere")


def test_unknown_layouts_and_options_name_the_nearest(make):
    with pytest.raises(ConfigError, match="no layout 'gtzn': did you mean 'gtzan'"):
        collections.read("gtzn", ".")
    with pytest.raises(ConfigError, match="no option 'tops': did you mean 'top'"):
        collections.read("magnatagatune", make("magnatagatune"), tops=3)


def test_the_place_does_not_matter(make, tmp_path):
    root = make("openmic")
    first = collections.read("openmic", root).fingerprint
    root.rename(tmp_path / "elsewhere")
    assert collections.read("openmic", tmp_path / "elsewhere").fingerprint == first
