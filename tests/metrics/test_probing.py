"""Probes: they find what is there, nothing where nothing is, and give the same result for the same seed."""

import numpy as np
import pytest
import torch

from slapkit.audio import decode
from slapkit.errors import ConfigError, DataError
from slapkit.metrics import tagging
from slapkit.metrics.probing import Examples, ProbeConfig, class_numbers, probe, represent_clips, tag_matrix
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from tests.training.tones import PITCHES, make_tones, tiny

QUICK = ProbeConfig(lr=1e-2, epochs=60, patience=8)


def ring(seed, clips=300):
    """Two classes that no line can tell apart: inside and outside of a circle, among dimensions of noise."""
    x = np.random.default_rng(seed).normal(size=(clips, 6)).astype(np.float32)
    return Examples(x, (np.hypot(x[:, 0], x[:, 1]) > 1.18).astype(int))


def blobs(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, 200)
    return Examples(5 * np.eye(4, 10)[y] + rng.normal(size=(200, 10)), y)


def scores(train, validation, test, *, classes=4, seed=0, config=QUICK):
    return probe(train=train, validation=validation, test=test.x, classes=classes, seed=seed, config=config).scores


def test_a_hidden_layer_finds_what_a_line_cannot():
    parts = ring(0, 1000), ring(1), ring(2)
    curved, line = (scores(*parts, classes=2, config=QUICK.replace(hidden=hidden)) for hidden in (64, 0))
    assert tagging.accuracy(scores=curved, labels=parts[2].y) > 0.9
    assert tagging.accuracy(scores=line, labels=parts[2].y) < 0.65


def test_nothing_is_found_where_nothing_is():
    rng = np.random.default_rng(0)
    train, validation, test = (Examples(rng.normal(size=(n, 8)), rng.integers(0, 2, n)) for n in (400, 400, 2000))
    done = probe(train=train, validation=validation, test=test.x, classes=2, seed=0, config=QUICK)
    assert abs(tagging.accuracy(scores=done.scores, labels=test.y) - 0.5) < 0.05
    assert done.epoch < QUICK.epochs - QUICK.patience, "validation stops what only learns noise"


def test_tags_are_learned_one_by_one():
    rng = np.random.default_rng(0)
    tags = rng.random((3, 300, 5)) < 0.3
    parts = [Examples(own * 2.0 + rng.normal(size=own.shape), own) for own in tags]
    assert tagging.roc_auc(scores=scores(*parts, classes=5), tags=parts[2].y) > 0.85


def test_neither_the_scale_of_features_nor_a_constant_one_matters():
    parts = [Examples(np.hstack([x, np.full((len(x), 1), 3.0)]), y) for x, y in map(blobs, range(3))]
    plain = scores(*parts)
    assert tagging.accuracy(scores=plain, labels=parts[2].y) > 0.95
    scaled = [Examples(part.x * np.logspace(-3, 3, 11) + 7, part.y) for part in parts]
    assert scores(*scaled) == pytest.approx(plain, abs=1e-2)


def test_the_same_seed_gives_the_same_scores_and_leaves_torch_alone():
    parts, state = [blobs(seed) for seed in range(3)], torch.get_rng_state()
    first, again, other = (scores(*parts, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": 1}, "classes=1"),
        ({"train": Examples(np.ones((4, 10)), np.zeros(4, int))}, "class 0"),
        ({"train": Examples(np.ones((0, 10)), np.zeros(0, int))}, "train"),
        ({"validation": Examples(np.ones((3, 10)), np.full(3, 9))}, "validation.*9..9"),
        ({"test": np.ones((3, 4))}, r"\(3, 4\)"),
        (dict.fromkeys(("train", "validation"), Examples(np.ones((4, 0)), np.arange(4))), r"train \(4, 0\)"),
        ({"train": Examples(np.ones((4, 10)), np.ones((4, 3), bool))}, "train.*3 tags"),
    ],
)
def test_bad_input_is_named(change, said):
    with pytest.raises(DataError, match=said):
        probe(**{"train": blobs(0), "validation": blobs(1), "test": blobs(2).x, "classes": 4, "seed": 0} | change)


def test_a_rate_or_a_patience_that_learns_nothing_is_named():
    with pytest.raises(DataError, match=r"lr \(now 1e\+30\)"):
        scores(blobs(0), blobs(1), blobs(2), config=QUICK.replace(lr=1e30))
    with pytest.raises(ConfigError, match="patience=0"):
        ProbeConfig(patience=0)


def test_truth_is_read_from_facts():
    assert class_numbers(["b", "a", None, "x"], ["a", "b"]).tolist() == [1, 0, -1, -1]
    found = tag_matrix([["flute"], [], ["drums", "flute"]], ["drums", "flute"])
    assert found.tolist() == [[False, True], [False, False], [True, True]]
    assert tag_matrix([], ["a"]).shape == (0, 1)


def test_representations_come_before_the_projector_and_a_probe_finds_the_pitch(tmp_path):
    dataset = make_tones(tmp_path / "tones")
    torch.manual_seed(0)
    model = Model(JointModel.build(tiny().model, "slap", captions=["a tone"]))
    x, ids = represent_clips(model, dataset, cache_dir=tmp_path / "cache", progress=False)
    assert ids == [clip.id for clip in dataset.clips] and x.shape == (48, model.joint.audio.encoder.dim)
    wave = decode.read(dataset.clips[3].path, sample_rate=model.config.audio.frontend.sample_rate)
    mel, length = model.log_mel(torch.from_numpy(wave)[None])[0], model.config.audio.window_frames
    windows = torch.stack([mel[:length], mel[-length:]])  # two that overlap by a frame cover two seconds
    slow = model.joint.audio.encoder(windows).mean(0).numpy()
    assert x[3] == pytest.approx(slow, rel=2e-2, abs=2e-2)  # features are kept in half precision
    pitch = class_numbers([clip.captions[0].split()[1] for clip in dataset.clips], list(PITCHES))
    split = np.array([clip.split for clip in dataset.clips])
    parts = [Examples(x[split == name], pitch[split == name]) for name in ("train", "validation", "test")]
    assert tagging.accuracy(scores=scores(*parts), labels=parts[2].y) > 0.8
