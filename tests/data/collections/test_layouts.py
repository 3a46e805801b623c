"""Each layout as published gives its clips, splits, labels and groups; what is missing or wrong is named."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from slapkit import data
from slapkit.data import collections
from slapkit.errors import ConfigError, DataError
from slapkit.metrics.probing import class_numbers, tag_matrix
from tests.data.collections.conftest import GENRES, MAKERS, MUSICCAPS, SONG_DESCRIBER


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
    last = clips["0_aB-cD9eF_"]
    assert last.path.name == "0_aB-cD9eF__0_10.flac" and last.facts["is_balanced_subset"]
    assert [(p.row, p.value) for p in dataset.problems] == [(5, "zzzzzzzzzzz")]
    assert "1 of the 4 clips" in dataset.summary()


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        *((name, True) for name in ("{}", "Y{}", "[{}]-[30-40]", "{}_30_40", "{}-30-40", "{}_30.0_40.0")),
        *((name, True) for name in ("{}_30000_40000", "{}_30", "{}_30-40")),
        *((name, False) for name in ("{}x", "{}_40_50", "-0gj8-vb1q4", "[{}]-[130-140]")),
    ],
)
def test_musiccaps_names_of_files(make, name, taken):
    root = make("musiccaps")
    (root / "audio" / "-0Gj8-vB1q4.wav").rename(root / "audio" / f"{name.format('-0Gj8-vB1q4')}.wav")
    assert ("-0Gj8-vB1q4" in {clip.group for clip in collections.read("musiccaps", root)}) == taken


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
    valid = collections.read("song-describer", dataset.root, captions="valid")
    assert [clip.captions for clip in valid] == [("Electronic tune with a 4/4 beat",), ("Acoustic guitar",)]
    with pytest.raises(ConfigError, match="captions='some'"):
        collections.read("song-describer", dataset.root, captions="some")


@pytest.mark.parametrize(
    ("suffix", "home"), [(".wav", "genres_original"), (".au", "genres"), (".wav", "Data/genres_original")]
)
def test_gtzan(make, suffix, home):
    dataset = collections.read("gtzan", make("gtzan", suffix=suffix, home=home))
    assert dataset.splits == {"train": 9, "validation": 9, "test": 8}, "jazz.00054 is corrupt"
    names = {clip.path.stem: clip for clip in dataset}
    assert names["blues.00029"].split == "train" and names["pop.00000"].split == "validation"
    assert names["metal.00054"].split == "test" and names["rock.00054"].split is None
    assert names["hiphop.00029"].facts == {"genre": "hiphop", "number": 29}
    assert names["hiphop.00029"].group == names["hiphop.00029"].id and names["hiphop.00029"].captions == ()
    assert "jazz.00054" not in names and len(dataset.problems) == 971
    corrupt = [p.value for p in dataset.problems if "does not exist" not in p.reason]
    assert corrupt == [f"{home}/jazz/jazz.00054.wav".removeprefix("Data/")]
    assert any("3 excerpts are in no list" in note for note in dataset.notes)
    numbers = class_numbers([clip.facts["genre"] for clip in dataset.split("test")], GENRES)
    assert numbers.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]


def test_gtzan_lists(make):
    root = make("gtzan")
    make.sound(root / "genres_original" / "jazz" / "jazz.00054.wav", 7)  # a good copy of the corrupt excerpt
    for name, number in (("train", 29), ("valid", 0), ("test", 54)):
        (root / f"{name}_filtered.txt").write_text("\n".join(f"{100 * genre + number + 1:12}" for genre in range(9)))
    assert collections.read("gtzan", root).splits == {"train": 9, "validation": 9, "test": 9}, "lists by number"
    path = root / "train_filtered.txt"
    good = path.read_text()
    for line, words in (
        ("blues/blues.00054.wav", "test_filtered.txt, line 1: blues.00054"), ("polka/polka.00001.wav", "polka"),
        ("blues/blues.00100.wav", "00100"), ("0", "'0'"), ("1001", "1001"),
    ):  # fmt: skip
        path.write_text(f"{good}\n{line}\n")
        with pytest.raises(DataError, match=words):
            collections.read("gtzan", root)
    path.unlink()
    with pytest.raises(DataError, match=r"train_filtered.txt.*coreyker.*splits='none'"):
        collections.read("gtzan", root)
    dataset = collections.read("gtzan", root, splits="none")
    assert len(dataset) == 30 and dataset.splits == {}


def test_magnatagatune(make):
    dataset = collections.read("magnatagatune", make("magnatagatune"))
    clips = {clip.facts["clip_id"]: clip for clip in dataset}
    splits = {2: "test", 6: "test", 10: "train", 11: "train", 12: "validation", 13: "test"}
    assert {id: clip.split for id, clip in clips.items()} == splits
    assert clips[2].facts["tags"] == ["guitar", "classical"] and clips[13].facts["tags"] == []
    assert clips[11].facts["tags"] == ["guitar", "hard rock"]
    assert clips[2].group == clips[6].group == "artist Soloists"
    assert clips[11].group == "b/seismic_anamoly-sea_of_mines-03-piker"
    assert clips[2].facts["title"] == "Title, 0" and clips[2].facts["start_s"] == 30 and clips[2].facts["end_s"] == 59
    assert any(note.startswith("5 tags; 1 clips have none") for note in dataset.notes)
    split_of = {}
    for clip in data.make_splits(dataset, seed=1):
        assert split_of.setdefault(clip.group, clip.split) == clip.split


def test_magnatagatune_choice_of_tags(make):
    root = make("magnatagatune")

    def tags(**chosen):
        return [tag for clip in collections.read("magnatagatune", root, **chosen) for tag in clip.facts["tags"]]

    assert set(tags(top=2)) == {"guitar", "classical"} and "clasical" in tags(top=None)
    assert len(collections.read("magnatagatune", root, top=2, drop_untagged=True)) == 4
    with pytest.raises(ConfigError, match="top=0"):
        collections.read("magnatagatune", root, top=0)


@pytest.mark.parametrize("objects", [True, False])
def test_openmic(make, objects):
    dataset = collections.read("openmic", make("openmic", objects=objects))
    clips = by_id(dataset)
    assert dataset.splits == {"train": 2, "test": 2} and not dataset.problems
    first = clips["audio/000/000046_3840.ogg"]
    assert first.facts["relevance"] == {"clarinet": 0.17, "voice": 1.0}
    assert clips["audio/155/155311_453120.ogg"].split == "test"
    assert first.group == "artist 7" and len({clip.group for clip in dataset}) == 3
    names = ["flute", "piano", "voice"]
    present = tag_matrix([clip.facts["instruments"] for clip in dataset], names)
    known = tag_matrix([clip.facts["instruments_known"] for clip in dataset], names)
    np.testing.assert_array_equal(present, [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])  # 0.5 counts, 0.49 does not
    np.testing.assert_array_equal(known, [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]])


def test_slap_csv(make, tmp_path):
    root = make("slap-csv")
    given = options("slap-csv", tmp_path)
    dataset = collections.read("slap-csv", root / "captions.csv", **given)
    clips = by_id(dataset)
    assert dataset.splits == {"train": 1, "validation": 1, "test": 1}
    assert clips["audio/track_1.wav"].captions == ("one caption",)
    assert clips["audio/track_2.mp3"].captions == ("first", "second, longer"), "the file beside its array"
    assert clips["audio/track_2.mp3"].facts["npy_path"] == "audio/track_2.npy"
    path = clips["audio/track_3.npy"].path
    wave, rate = soundfile.read(path, dtype="float32")
    assert rate == 16000
    np.testing.assert_array_equal(wave, np.load(root / "audio" / "track_3.npy"))
    stamp = path.stat().st_mtime_ns
    (root / "tables").mkdir()
    table = (root / "captions.csv").rename(root / "tables" / "captions.csv")
    for more in ({}, {"root": root}):  # names relative to the folder above the table's
        clips = by_id(collections.read("slap-csv", table, **given, **more))
        assert len(clips) == 3 and clips["audio/track_3.npy"].path.stat().st_mtime_ns == stamp, "written once"
    other = shutil.copytree(root, tmp_path / "other")
    np.save(other / "audio" / "track_3.npy", np.load(root / "audio" / "track_3.npy")[::-1])
    collections.read("slap-csv", other / "tables" / "captions.csv", **given)
    assert np.array_equal(soundfile.read(path, dtype="float32")[0], wave), "others of that name lie beside it"
    again = by_id(collections.read("slap-csv", other / "tables" / "captions.csv", **given))["audio/track_3.npy"]
    assert np.array_equal(soundfile.read(again.path, dtype="float32")[0], wave[::-1])
    for given in ({}, {"sample_rate": 16000}, {"waves": tmp_path / "waves"}):
        with pytest.raises(DataError, match=r"track_3.npy is a waveform \[1600\].*sample_rate=.*waves="):
            collections.read("slap-csv", table, **given)
    with pytest.raises(ConfigError, match="sample_rate=10"):
        collections.read("slap-csv", table, sample_rate=10, waves=tmp_path / "waves")


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
    with pytest.raises(DataError, match="'table'"):
        collections.read("tagged-folder", tmp_path)


@pytest.mark.parametrize("name", [" a.wav", "a .wav", "A: one.wav", "a\\b.wav", "ä.wav", "[x] %41 #1;2,3.wav"])
def test_files_of_odd_names_are_read(make, tmp_path, name):
    make.sound(tmp_path / name)
    dataset = collections.read("tagged-folder", tmp_path)
    assert [clip.path for clip in dataset] == [tmp_path / name] and not dataset.problems
    data.write_table(dataset.with_clips([replace(clip, captions=("a jig",)) for clip in dataset]))
    assert [clip.path for clip in data.read(tmp_path)] == [tmp_path / name] and not data.read(tmp_path).unnamed


COLUMNS = {
    ("musiccaps", "musiccaps-public.csv"): MUSICCAPS,
    ("song-describer", "song_describer.csv"): SONG_DESCRIBER,
    ("magnatagatune", "annotations_final.csv"): ["clip_id", "mp3_path"],
    ("magnatagatune", "clip_info_final.csv"): ["clip_id", "title", "artist", "album", "segmentStart", "segmentEnd"],
    ("openmic", "openmic-2018-metadata.csv"): ["sample_key", "artist_id"],
    ("slap-csv", "captions.csv"): ["npy_path", "caption", "set"],
}


@pytest.mark.parametrize(("layout", "file"), COLUMNS)
def test_a_renamed_column_is_named(make, tmp_path, layout, file):
    root = make(layout)
    head, rest = (root / file).read_text().split("\n", 1)
    for column in COLUMNS[layout, file]:
        changed = re.sub(rf"(?<![\w]){column}(?![\w])", f"{column}x", head)
        assert changed != head
        (root / file).write_text(changed + "\n" + rest)
        with pytest.raises(DataError, match=rf"'{column}'"):
            place = root / file if layout == "slap-csv" else root
            collections.read(layout, place, **options(layout, tmp_path))


FILES = {
    "musiccaps": ["musiccaps-public.csv"],
    "song-describer": ["song_describer.csv", "audio"],
    "gtzan": ["genres_original", "genres_original/disco", *(f"{s}_filtered.txt" for s in ("train", "valid", "test"))],
    "magnatagatune": ["annotations_final.csv", "clip_info_final.csv", "0"],
    "openmic": ["openmic-2018.npz", "class-map.json", *(f"partitions/split01_{s}.csv" for s in ("train", "test"))],
}


@pytest.mark.parametrize("layout", FILES)
def test_a_renamed_file_is_named_with_its_place_of_publication(make, layout):
    root = make(layout)
    for file in FILES[layout]:
        (root / file).rename(root / "renamed")
        with pytest.raises(DataError, match=rf"lacks .*{re.escape(file)}.*https?://"):
            collections.read(layout, root)
        (root / "renamed").rename(root / file)


def test_all_missing_files_are_named_at_once(tmp_path):
    (tmp_path / "audio.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"song_describer.csv, audio/ .*audio.zip.*10072001"):
        collections.read("song-describer", tmp_path)


@pytest.mark.parametrize("layout", MAKERS)
def test_the_layout_is_found_by_what_lies_there(make, tmp_path, layout):
    dataset = collections.read("auto", make(layout), **options(layout, tmp_path))
    assert dataset.name == layout and layout in dataset.notes[0]
    frame = dataset.to_pandas()
    assert frame.columns.tolist()[:5] == ["id", "path", "split", "group", "captions"] and len(frame)
    fingerprint = dataset.fingerprint
    again = (tmp_path / layout).rename(tmp_path / "elsewhere")
    assert collections.read(layout, again, **options(layout, tmp_path)).fingerprint == fingerprint


def test_other_folders_are_detected(make, tmp_path):
    folder = tmp_path / "own"
    make.sound(folder / "deep" / "a.wav")
    assert collections.detect(folder)[0] == "tagged-folder"
    (folder / "metadata.csv").write_text("file_name,caption\ndeep/a.wav,x\n")
    assert collections.detect(folder) == ("table", "metadata.csv")
    assert collections.read("auto", folder)[0].captions == ("x",)
    assert collections.detect(folder / "metadata.csv")[0] == "table"
    (folder / "song_describer.csv").write_text("")
    with pytest.raises(DataError, match="song-describer .*table"):
        collections.read("auto", folder)
    bare = make("gtzan", home=".")
    assert collections.detect(bare)[0] == "gtzan"


def test_nothing_that_is_known(tmp_path):
    with pytest.raises(DataError, match="nothing.*musiccaps"):
        collections.read("auto", tmp_path)
    (tmp_path / "mp3.zip.001").write_bytes(b"")
    with pytest.raises(DataError, match=r"`cat mp3.zip.\* > mp3.zip`"):
        collections.read("auto", tmp_path)
    (tmp_path / "x.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match="slapkit unpack x.tar.gz"):
        collections.read("auto", tmp_path / "x.tar.gz")
    for layout in ("auto", *collections.LAYOUTS):
        with pytest.raises(DataError, match="nowhere"):
            collections.read(layout, tmp_path / "nowhere")


def test_musiccaps_whole_videos_and_no_audio_are_refused(make):
    root = make("musiccaps")
    make.sound(root / "audio" / "-0Gj8-vB1q4.wav", seconds=14)
    dataset = collections.read("musiccaps", root)
    assert len(dataset) == 2 and "audio/-0Gj8-vB1q4.wav" in {p.value for p in dataset.problems}
    make.sound(root / "audio" / "-0Gj8-vB1q4.wav", seconds=10.5)
    assert len(collections.read("musiccaps", root)) == 3
    for path in [*root.rglob("*.wav"), *root.rglob("*.flac")]:
        path.unlink()
    with pytest.raises(DataError, match="ytid.wav"):
        collections.read("musiccaps", root)


def test_slap_csv_sets_that_contradict_or_are_unknown(make, tmp_path):
    root = make("slap-csv")
    make.sound(root / "audio" / "x.wav", 9)
    with open(root / "captions.csv", "a") as file:
        file.write("audio/x.wav,a,dev set\naudio/track_1.wav,another,test\n")
    dataset = collections.read("slap-csv", root, **options("slap-csv", tmp_path))
    clips = by_id(dataset)
    assert clips["audio/x.wav"].split is None and clips["audio/track_1.wav"].split == "train"
    assert clips["audio/track_1.wav"].captions == ("one caption", "another")
    assert len(dataset.problems) == 2


def test_openmic_groups_without_metadata_and_parts_that_share_a_clip(make, tmp_path):
    root = make("openmic", metadata=False).rename(tmp_path / "openmic-2018")
    dataset = collections.read("openmic", tmp_path)
    assert {clip.group for clip in dataset} == {"track 000046", "track 000135", "track 000178", "track 155311"}
    assert any("grouped by track" in note for note in dataset.notes)
    with open(root / "partitions" / "split01_test.csv", "a") as file:
        file.write("000046_3840\n")
    with pytest.raises(DataError, match="000046_3840"):
        collections.read("openmic", root)


def test_unknown_layouts_and_options_name_the_nearest(make):
    with pytest.raises(ConfigError, match="'gtzn'.*'gtzan'"):
        collections.read("gtzn", ".")
    with pytest.raises(ConfigError, match="'tops'.*'top'"):
        collections.read("magnatagatune", make("magnatagatune"), tops=3)
