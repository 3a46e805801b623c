"""The same music in two splits is found, by file, by audio and by embedding; other music is not."""

import numpy as np
import pytest
import soundfile

from slapkit.data import AudioTextDataset, Clip, near
from slapkit.data.leakage import Member, check, near_duplicates, sound_hash
from slapkit.errors import ConfigError, DataError


@pytest.fixture
def dataset(tmp_path):
    """A function that makes a data set of files that are there, with their splits."""

    def made(splits, groups=None):
        clips = [Clip(id, tmp_path / id, (), {}, split, (groups or {}).get(id, id)) for id, split in splits.items()]
        return AudioTextDataset(tmp_path, clips, name="set")

    return made


def noise(seed, length=800):
    """Noise of 16 bits, which WAV and FLAC both keep exactly."""
    return np.random.default_rng(seed).integers(-3000, 3000, length).astype(np.int16)


def write(path, samples, rate=8000, **options):
    soundfile.write(path, samples, rate, **options)


def test_equal_files_and_equal_audio_across_splits(dataset, tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)):
        write(tmp_path / f"{name}.wav", noise(seed))
    (tmp_path / "a-copy.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    write(tmp_path / "b.flac", noise(2))
    write(tmp_path / "c-24.wav", noise(3), subtype="PCM_16", format="WAVEX")
    write(tmp_path / "d-stereo.flac", np.stack([noise(4), noise(4)], axis=1))
    write(tmp_path / "f.wav", noise(5, 801))  # another length, but begins alike
    write(tmp_path / "g.wav", noise(5), 16000)  # another rate
    splits = {"a.wav": "train", "a-copy.wav": "test", "b.wav": "train", "b.flac": "validation", "c.wav": "test"}
    splits |= {"c-24.wav": "train", "d.wav": "train", "d-stereo.flac": "test", "e.wav": "train", "f.wav": "test"}
    found = check(dataset(splits | {"g.wav": "test"}), progress=False)
    assert {(f.kind, frozenset(m.id for m in f.members)) for f in found.findings} == {
        ("file", frozenset({"a.wav", "a-copy.wav"})),
        ("sound", frozenset({"b.wav", "b.flac"})),
        ("sound", frozenset({"c.wav", "c-24.wav"})),
        ("sound", frozenset({"d.wav", "d-stereo.flac"})),
    }
    assert not found.clean and not found.unreadable and found.parts == {"train": 5, "validation": 1, "test": 5}
    assert "a-copy.wav" in found.describe()
    assert [f.kind for f in check(dataset(splits), decoded=False, progress=False).findings] == ["file"]


def test_repetitions_within_a_split_groups_and_clips_without_a_split(dataset, tmp_path):
    for name, seed in (("a.wav", 0), ("a.flac", 0), ("b.wav", 1), ("c.wav", 2), ("d.wav", 0)):
        write(tmp_path / name, noise(seed))
    splits = {"a.wav": "train", "a.flac": "train", "b.wav": "test", "c.wav": "test", "d.wav": None}
    groups = {"a.wav": "artist 1", "b.wav": "artist 1", "c.wav": "artist 2", "d.wav": "artist 2"}
    found = check(dataset(splits, groups), progress=False)
    assert found.clean and found.inside == {"train": 1, "test": 0} and found.groups == ["artist 1"]
    assert "artist 1" in found.describe()


def test_a_copy_in_three_places_is_one_finding(dataset, tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        write(tmp_path / name, noise(1))
    write(tmp_path / "d.flac", noise(1))
    whole = dataset({"a.wav": "train", "b.wav": "train", "c.wav": "validation", "d.flac": "test"})
    found = check(whole, progress=False)
    assert [(f.kind, len(f.members)) for f in found.findings] == [("file", 3), ("sound", 4)]
    with pytest.raises(DataError, match="train"):
        check(whole.split("train"), progress=False)


def test_undecodable_files_are_reported(dataset, tmp_path):
    write(tmp_path / "a.wav", noise(1))
    (tmp_path / "b.wav").write_bytes(b"no audio")
    write(tmp_path / "c.flac", noise(2, 40_000))
    write(tmp_path / "d.wav", noise(3, 40_000))
    (tmp_path / "c.flac").write_bytes((tmp_path / "c.flac").read_bytes()[:-20_000])
    found = check(dataset({"a.wav": "train", "b.wav": "test", "c.flac": "test", "d.wav": "train"}), progress=False)
    assert found.clean and set(found.unreadable) == {Member("test", "b.wav"), Member("test", "c.flac")}


def test_different_data_sets_are_compared_by_name(dataset, tmp_path):
    write(tmp_path / "a.wav", noise(1))
    write(tmp_path / "b.flac", noise(1))
    both = {"corpus": dataset({"a.wav": "train"}), "benchmark": dataset({"b.flac": "test"})}
    found = check(both, progress=False)
    assert found.findings[0].members == (Member("corpus", "a.wav"), Member("benchmark", "b.flac"))
    x = np.eye(3)[:1]
    found = check(both, embeddings={"corpus": x, "benchmark": x}, progress=False)
    assert [f.kind for f in found.findings] == ["sound", "embedding"] and found.near_total == 1
    for wrong in (x, {"corpus": np.eye(2), "benchmark": x}):
        with pytest.raises(DataError, match="corpus"):
            check(both, embeddings=wrong, progress=False)


def test_near_embeddings_across_splits(dataset, tmp_path):
    names = ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]
    for i, name in enumerate(names):
        write(tmp_path / name, noise(i))
    x = np.eye(5)
    x[3] = x[0] + 0.05 * x[1]  # near a, in another split
    x[2] = x[0]  # equal to a, in the same split
    x[4] = x[0]  # equal to a, in no split
    whole = dataset(dict(zip(names, ["train", "test", "train", "test", None])))
    found = check(whole, embeddings=x, threshold=0.99, progress=False)
    pairs = [({m.id for m in f.members}, round(f.cosine, 3)) for f in found.findings]
    assert pairs == [({"a.wav", "d.wav"}, 0.999), ({"c.wav", "d.wav"}, 0.999)] and found.near_total == 2
    assert "cosine 0.9988" in found.describe()
    assert check(whole, embeddings=x, threshold=0.9999, progress=False).clean
    with pytest.raises(DataError, match="5"):
        check(whole, embeddings=x[:4], progress=False)


def oracle(x, threshold, part_of=None):
    """All pairs, one by one in float64, by falling cosine."""
    x = np.asarray(x, dtype=np.float64)
    pairs = []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            cosine = x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j])
            if cosine >= threshold and (part_of is None or part_of[i] != part_of[j]):
                pairs.append((i, j, cosine))
    return pairs


@pytest.mark.parametrize("block", [1, 7, 64, 2048])
@pytest.mark.parametrize("parts", [None, 2, 3])
def test_blocks_agree_with_pairs_one_by_one(monkeypatch, block, parts):
    monkeypatch.setattr(near, "_BLOCK", block)
    rng = np.random.default_rng(block)
    x = rng.standard_normal((60, 4)) * rng.uniform(0.01, 100, (60, 1))
    x[10:15] = x[40]  # ties
    part_of = None if parts is None else rng.integers(0, parts, 60)
    rows, cosines, total = near_duplicates(x, threshold=0.9, part_of=part_of)
    true = {(i, j): cosine for i, j, cosine in oracle(x, 0.9, part_of)}
    assert total == len(rows) == len(true) > 3
    assert {tuple(row) for row in rows.tolist()} == set(true)
    assert (rows[:, 0] < rows[:, 1]).all() and (np.diff(cosines) <= 0).all() and cosines.max() <= 1
    np.testing.assert_allclose(cosines, [true[tuple(row)] for row in rows.tolist()], atol=1e-6)


def test_the_limit_keeps_the_closest_and_counts_all(monkeypatch):
    monkeypatch.setattr(near, "_BLOCK", 16)
    x = np.random.default_rng(0).standard_normal((200, 3))
    everything, values, total = near_duplicates(x, threshold=0.5)
    rows, cosines, counted = near_duplicates(x, threshold=0.5, limit=25)
    assert counted == total == len(everything) > 1000
    np.testing.assert_array_equal(rows, everything[:25])
    np.testing.assert_array_equal(cosines, values[:25])


def test_a_collapsed_embedding_does_not_fill_the_memory():
    rows, cosines, total = near_duplicates(np.ones((5000, 2)), threshold=1.0, limit=100)
    assert total == 5000 * 4999 // 2 and len(rows) == 100
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    assert (rows[:, 0] < rows[:, 1]).all() and len({tuple(row) for row in rows.tolist()}) == 100
    x = np.random.default_rng(1).standard_normal((50, 700))
    assert near_duplicates(np.concatenate([x, 1e-3 * x]), threshold=1.0)[2] == 50, "whatever their length"


def test_bad_input_is_refused():
    x = np.eye(3)
    for threshold in (0, -0.5, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="threshold"):
            near_duplicates(x, threshold=threshold)
    with pytest.raises(ConfigError, match="limit"):
        near_duplicates(x, limit=0)
    with pytest.raises(DataError, match="part_of"):
        near_duplicates(x, part_of=np.zeros(2))
    for wrong in (np.zeros((3, 3)), np.full((3, 3), np.nan), np.zeros(3), np.zeros((0, 3))):
        with pytest.raises(DataError):
            near_duplicates(wrong)


def test_the_hash_of_audio_is_of_its_samples(tmp_path):
    for name, samples, rate in (("a.wav", noise(1), 8000), ("a.flac", noise(1), 8000), ("q.wav", noise(1) // 2, 8000)):
        write(tmp_path / name, samples, rate)
    write(tmp_path / "faster.wav", noise(1), 8001)
    hashes = [sound_hash(tmp_path / name) for name in ("a.wav", "a.flac", "q.wav", "faster.wav")]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
