"""Several data sets as one: nothing mixed up, and a fingerprint of all that decides what is trained."""

import json

import numpy as np
import pytest

from slapkit.data import join, read, write_table
from slapkit.errors import ConfigError, DataError
from slapkit.runs import read_data
from slapkit.training.batches import BatchSource, strata_of
from tests.training.tones import make_tones, run, tiny


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("joined")
    make_tones(root / "many", clips=48, seconds=1)
    make_tones(root / "few", clips=15, seconds=1)
    with open(root / "few" / "metadata.jsonl", "a") as file:
        file.write(json.dumps({"file_name": "gone.wav", "caption": "gone"}) + "\n")
    (root / "few" / "more.wav").touch()
    return [read(root / "many"), read(root / "few")]


def test_ids_groups_splits_facts_and_problems_say_where_they_are_from(parts):
    many, few = parts
    both = join(parts)
    assert both.name == "many + few" and len(both) == 63
    assert both.splits == {split: many.splits[split] + few.splits[split] for split in many.splits}
    for clip in few:
        joined = next(other for other in both if other.id == f"few/{clip.id}")
        assert (joined.path, joined.captions, joined.split) == (clip.path, clip.captions, clip.split)
        assert joined.group == f"few/{clip.group}" and joined.facts["data_set"] == "few"
    assert [problem.value for problem in both.problems] == ["few: gone.wav"] and both.unnamed == ["few/more.wav"]
    again = both.parts["few"]
    assert both.parts.keys() == {"many", "few"} and len(again) == 15 and again.name == "few"
    assert many.parts == {"many": many}
    with pytest.raises(DataError, match="two data sets are called 'few'"):
        join([few, few])
    with pytest.raises(DataError, match="at least two"):
        join([few])
    for shares in ([1], [1, 0], [1, -1], [1, float("nan")], [1, float("inf")]):
        with pytest.raises(ConfigError, match="shares="):
            join(parts, shares)


def test_a_table_is_written_wherever_the_data_sets_were_read_from(parts, tmp_path, monkeypatch):
    root = parts[0].root.parent
    monkeypatch.chdir(root)
    path = write_table(join([read("many"), read("few")]), tmp_path / "t.jsonl")
    again = read(root, table=path)
    assert [(clip.id, clip.path) for clip in again] == [(clip.id, clip.path) for clip in join(parts)]


def test_the_fingerprint_is_that_of_all_sets_and_shares(parts):
    many, few = parts
    plain, shared = join(parts), join(parts, [3, 1])
    prints = [many, few, plain, shared, join(parts, [1, 3]), join([many, few.split("train")])]
    assert len({dataset.fingerprint for dataset in prints}) == len(prints)
    assert shared.fingerprint == join(parts, [0.75, 0.25]).fingerprint
    assert plain.fingerprint == join(parts[::-1]).fingerprint
    assert "many 75 %, few 25 %" in shared.summary() and shared.split("train").shares == shared.shares


class Places:
    """Sounds of one window each."""

    def __init__(self, clips):
        self.clips = clips

    def __len__(self):
        return self.clips

    def places(self, clips):
        return np.ones(len(clips), dtype=np.int64)


def batches_of(dataset, **changes):
    training = dataset.split("train")
    config = tiny({"text_views": False, "window_views": False} | changes).train
    clip_of_caption, strata = training.captions_flat()[1], strata_of(training, config.batch_size)
    return training, BatchSource(Places(len(training)), None, clip_of_caption, config, strata=strata)


def test_shares_are_those_of_every_batch_and_clips_of_a_set_come_equally_often(parts):
    training, batches = batches_of(join(parts, [3, 1]), batch_size=16)
    few = np.array([clip.facts["data_set"] == "few" for clip in training])
    assert (sum(~few), sum(few)) == (32, 10)
    plans = [batches.plan(step)["clips"] for step in range(16)]  # 6 epochs of the many, 8 of the few and no rest
    assert all(few[clips].sum() == 4 and len({*clips}) == 16 for clips in plans)
    assert any((few[clips].nonzero()[0] != np.arange(12, 16)).any() for clips in plans), "mixed within a batch"
    counts = np.bincount(np.concatenate(plans), minlength=42)
    assert counts.sum() == 256 and counts[few].sum() == 64
    assert np.ptp(counts[~few]) <= 16 // 2 + 1 and counts[few].min() >= 4
    _, fresh = batches_of(join(parts, [3, 1]), batch_size=16)
    assert all((fresh.plan(step)["clips"] == plans[step]).all() for step in (11, 3, 15)), "of seed and step alone"
    assert all(few[batches.another(int(clip), np.random.default_rng(clip))].all() for clip in few.nonzero()[0])

    training, alike = batches_of(join(parts), batch_size=14)
    once = np.concatenate([alike.plan(step)["clips"] for step in range(3)])
    assert sorted(once) == list(range(42)), "without shares every clip once an epoch"


def test_shares_that_no_batch_can_have_are_refused_before_training(parts, tmp_path):
    for shares, words in (([1, 1], "few has 10 clips .* takes 16 of a batch of 32"), ([99, 1], "takes 0 of")):
        with pytest.raises(DataError, match=words):
            run(tiny({"batch_size": 32}), join(parts, shares), tmp_path / "out")
    assert not (tmp_path / "out" / "cache").exists(), "before any sound was read"
    quotas = [stratum.quota for stratum in strata_of(join(parts, [0.7, 0.3]).split("train"), 16)]
    assert quotas == [11, 5]


def test_parameters_name_several_sets(parts, tmp_path, monkeypatch):
    root = parts[0].root.parent
    monkeypatch.chdir(root)
    assert read_data("many, few", "3,1").fingerprint == join(parts, [3, 1]).fingerprint
    assert read_data("few").fingerprint == parts[1].fingerprint
    (root / "few").rename(root / "few, and more")
    assert len(read_data("few, and more")) == 15
    (root / "few, and more").rename(root / "few")
    for given, error in ((("few", "1"), ConfigError), (("few,many", "a,b"), ConfigError), (("few,none",), DataError)):
        with pytest.raises(error, match="shares|none"):
            read_data(*given)
