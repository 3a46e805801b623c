"""What is read is what the rest of the library works with: features, labels, splits and tables."""

import numpy as np

from slapkit import data
from slapkit.audio import features
from slapkit.audio.frontend import FrontendConfig
from slapkit.data import collections
from slapkit.metrics.probing import class_numbers, tag_matrix

CLASSES = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]


def test_features_of_every_layout(make, tmp_path):
    config = FrontendConfig(sample_rate=8000, n_fft=256, hop=80, n_mels=16, f_max=4000.0, min_s=0.5)
    for layout in ("musiccaps", "song-describer", "openmic", "slap-csv"):
        options = {"sample_rate": 16000, "waves": tmp_path / "waves"} if layout == "slap-csv" else {}
        dataset = collections.read(layout, make(layout), progress=False, **options)
        store = features.build(dataset, config, tmp_path / "cache", progress=False)
        assert set(store.ids) == {clip.id for clip in dataset}, layout


def test_labels_of_clips(make):
    genres = collections.read("gtzan", make("gtzan")).split("test")
    numbers = class_numbers([clip.facts["genre"] for clip in genres], CLASSES)
    assert numbers.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    openmic = collections.read("openmic", make("openmic"))
    heard = tag_matrix([clip.facts["instruments"] for clip in openmic], ["flute", "piano", "voice"])
    known = tag_matrix([clip.facts["instruments_known"] for clip in openmic], ["flute", "piano", "voice"])
    np.testing.assert_array_equal(heard, [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(known, [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert not (heard & ~known).any(), "what was not judged is never said to be heard"


def test_new_splits_keep_artists_whole(make):
    dataset = data.make_splits(collections.read("magnatagatune", make("magnatagatune")), seed=1)
    split_of = {}
    for clip in dataset:
        assert split_of.setdefault(clip.group, clip.split) == clip.split
    assert sum(dataset.splits.values()) == 6


def test_tables_of_every_layout(make, tmp_path):
    for layout in ("musiccaps", "song-describer", "gtzan", "magnatagatune", "openmic"):
        frame = collections.read(layout, make(layout)).to_frame()
        assert frame.columns.tolist()[:5] == ["id", "path", "split", "group", "captions"] and len(frame)
        assert frame["path"].map(lambda path: open(path, "rb").close() is None).all()
