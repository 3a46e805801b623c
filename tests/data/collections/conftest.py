"""Collections as they are published, made small: names, columns and places of files are those of the originals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

GENRES = "blues classical country disco hiphop jazz metal pop reggae rock".split()
CLASSES = (
    "accordion banjo bass cello clarinet cymbals drums flute guitar mallet_percussion mandolin organ piano saxophone "
    "synthesizer trombone trumpet ukulele violin voice"
).split()


def sound(path: Path, seed: int = 0, *, seconds: float = 0.1) -> Path:
    """Write noise at 8 kHz that is another one for another seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * 8000)), 8000)
    return path


def rows(path: Path, header: list[str], lines: list[list], **options) -> Path:
    """Write a table as the csv module does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, **options).writerows([header, *lines])
    return path


MUSICCAPS = (
    "ytid start_s end_s audioset_positive_labels aspect_list caption author_id is_balanced_subset is_audioset_eval"
).split()


def musiccaps(root: Path) -> Path:
    aspects = "['low quality', \"singer's voice\"]"
    lines = [
        ["-0Gj8-vB1q4", 30, 40, "/m/0140xf,/m/02cjck", aspects, "A ballad.", 4, False, True],
        ["-0SdAVK79lg", 30, 40, "/m/0155w,/m/01lyv", "['guitar song']", 'A piano, and a "guitar".', 0, False, False],
        ["0_aB-cD9eF_", 0, 10, "/m/04rlf", "[]", "Drums.", 1, True, True],
        ["zzzzzzzzzzz", 10, 20, "/m/04rlf", "['gone']", "Withdrawn.", 1, True, True],
    ]
    rows(root / "musiccaps-public.csv", MUSICCAPS, lines)
    for i, name in enumerate(("-0Gj8-vB1q4.wav", "[-0SdAVK79lg]-[30-40].wav", "deeper/0_aB-cD9eF__0_10.flac")):
        sound(root / "audio" / name, i)
    return root


SONG_DESCRIBER = (
    "caption_id track_id caption is_valid_subset familiarity artist_id album_id path duration"
).split()  # fmt: skip


def song_describer(root: Path) -> Path:
    lines = [
        [859, 1004034, "Electronic tune with a 4/4 beat", True, 0, 368880, 118196, "34/1004034.mp3", 202.5],
        [860, 1004034, "Another one, slower", "", 3, 368880, 118196, "34/1004034.mp3", 202.5],
        [990, 1007274, "Acoustic guitar", True, 1, 429137, 118548, "74/1007274.mp3", 140.2],
        [991, 1007275, "Unchecked", "", 1, 429137, 118548, "75/1007275.mp3", 140.2],
    ]
    rows(root / "song_describer.csv", SONG_DESCRIBER, lines)
    for i, track in enumerate((1004034, 1007274, 1007275)):
        sound(root / "audio" / f"{track}"[-2:] / f"{track}.2min.mp3", i, seconds=0.5)
    return root


def gtzan(root: Path, suffix: str = ".wav", home: str = "genres_original") -> Path:
    for i, genre in enumerate(GENRES):
        for number in (0, 29, 54):
            sound(root / home / genre / f"{genre}.{number:05}{suffix}", 100 * i + number)
    (root / home / "jazz" / f"jazz.00054{suffix}").write_bytes(b"RIFF\0\0\0\0 not a sound")
    for name, number in (("train", 29), ("valid", 0), ("test", 54)):  # rock is in no list
        lines = [f"{genre}/{genre}.{number:05}.wav" for genre in GENRES[:9]]
        (root / f"{name}_filtered.txt").write_text("\n".join(lines) + "\n")
    return root


MTAT_TAGS = ["no voice", "singer", "guitar", "hard rock", "classical", "clasical", "weird"]
MTAT_CLIPS = [  # clip_id, mp3_path, tags, artist
    (2, "f/american_bach_soloists-j_s__bach_solo_cantatas-01-bwv54__i_aria-30-59.mp3", "classical guitar", "Soloists"),
    (6, "f/american_bach_soloists-j_s__bach_solo_cantatas-01-bwv54__i_aria-146-175.mp3", "classical", "Soloists"),
    (10, "0/norine_braun-now_and_zen-08-gently-1-30.mp3", "guitar singer", "Norine Braun"),
    (11, "b/seismic_anamoly-sea_of_mines-03-piker-30-59.mp3", "guitar|hard rock", ""),
    (12, "c/jade_leary-fossildawn-03-meaningless-0-29.mp3", "clasical", "Jade Leary"),
    (13, "d/jade_leary-fossildawn-04-nothing-0-29.mp3", "", "Jade Leary"),
]


def magnatagatune(root: Path) -> Path:
    tagged, about = [], []
    for i, (id, path, tags, artist) in enumerate(MTAT_CLIPS):
        own = tags.split("|") if "|" in tags else tags.split()
        tagged.append([id, *(int(tag in own) for tag in MTAT_TAGS), path])
        start = int(path.split("-")[-2])
        about.append([id, i, f"Title, {i}", artist, "Album", "http://he3.magnatune.com/", start, start + 29, "", path])
        sound(root / path, i, seconds=0.5)
    quoted = {"delimiter": "\t", "quoting": csv.QUOTE_ALL}
    rows(root / "annotations_final.csv", ["clip_id", *MTAT_TAGS, "mp3_path"], tagged, **quoted)
    header = "clip_id track_number title artist album url segmentStart segmentEnd original_url mp3_path".split()
    rows(root / "clip_info_final.csv", header, about, **quoted)
    return root


def openmic(root: Path, *, objects: bool = True, metadata: bool = True) -> Path:
    split_of = {"000046_3840": "train", "000135_483840": "train", "000178_3840": "test", "155311_453120": "test"}
    keys = sorted(split_of)
    known, truth = np.zeros((4, 20), dtype=bool), np.full((4, 20), 0.5)
    for row, column, value in ((0, 4, 0.17), (0, 19, 1.0), (1, 7, 0.5), (2, 12, 0.49), (3, 0, 0.9)):
        known[row, column], truth[row, column] = True, value
    (root / "partitions").mkdir(parents=True)
    # The published file was written from a pandas column, whose texts are objects: NumPy pickles them.
    names = np.array(keys, dtype=object if objects else None)
    np.savez(root / "openmic-2018.npz", X=np.zeros((4, 10, 128), int), Y_true=truth, Y_mask=known, sample_key=names)
    (root / "class-map.json").write_text(json.dumps({name: i for i, name in enumerate(CLASSES)}))
    for split in ("train", "test"):
        lines = [key for key in keys if split_of[key] == split]
        (root / "partitions" / f"split01_{split}.csv").write_text("\n".join(lines) + "\n")
    if metadata:
        lines = [[key.split("_")[0], 7 if i < 2 else i, f"Artist, {i}", key, 1.5] for i, key in enumerate(keys)]
        header = ["track_id", "artist_id", "artist_name", "sample_key", "start_time"]
        rows(root / "openmic-2018-metadata.csv", header, lines)
    for i, key in enumerate(keys):
        sound(root / "audio" / key[:3] / f"{key}.ogg", i, seconds=0.5)
    return root


def slap_csv(root: Path) -> Path:
    lines = [
        ["audio/track_1.wav", "one caption", "train"],
        ["audio/track_2.npy", "!!first|second, longer|first", "val"],
        *[["audio/track_3.npy", "said of a waveform", "test"]] * 2,
    ]
    rows(root / "captions.csv", ["npy_path", "caption", "set"], lines)
    sound(root / "audio" / "track_1.wav", 1)
    sound(root / "audio" / "track_2.mp3", 2, seconds=0.5)
    np.save(root / "audio" / "track_2.npy", np.zeros((64, 100), dtype=np.float32))
    np.save(root / "audio" / "track_3.npy", 0.1 * np.random.default_rng(3).standard_normal(1600).astype(np.float32))
    return root


MAKERS = {"musiccaps": musiccaps, "song-describer": song_describer, "gtzan": gtzan}
MAKERS |= {"magnatagatune": magnatagatune, "openmic": openmic, "slap-csv": slap_csv}


@pytest.fixture
def make(tmp_path):
    """A function that makes a collection by name and returns its folder."""

    def made(name: str, **options) -> Path:
        return MAKERS[name](tmp_path / name, **options)

    made.sound, made.rows = sound, rows
    return made
