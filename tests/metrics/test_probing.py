"""Probes: they find what is there, nothing where nothing is, and give the same result for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slapkit.audio import decode
from slapkit.errors import ConfigError, DataError
from slapkit.metrics import tagging
from slapkit.metrics.probing import (
    Examples,
    ProbeConfig,
    class_numbers,
    probe,
    represent_clips,
    tag_matrix,
)
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from tests.training.tones import PITCHES, make_tones, tiny

QUICK = ProbeConfig(lr=1e-2, epochs=60, patience=8)


def ring(seed, clips=300):
    """Two classes that no line can tell apart: inside and outside of a circle, among dimensions of noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(clips, 6)).astype(np.float32)
    return Examples(x, (np.hypot(x[:, 0], x[:, 1]) > 1.18).astype(int))


def blobs(seed, clips=200, classes=4, noise=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, clips)
    return Examples(5 * np.eye(classes, 10)[y] + noise * rng.normal(size=(clips, 10)), y)


def test_a_hidden_layer_finds_what_a_line_cannot():
    train, validation, test = ring(0, 1000), ring(1), ring(2)
    score = {}
    for hidden in (0, 64):
        done = probe(
            train=train, validation=validation, test=test.x, classes=2, seed=0, config=QUICK.replace(hidden=hidden)
        )
        score[hidden] = tagging.accuracy(scores=done.scores, labels=test.y)
    assert score[64] > 0.9 and score[0] < 0.65


def test_the_linear_probe_agrees_with_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    train, validation, test = blobs(0, noise=3.0), blobs(1, noise=3.0), blobs(2, noise=3.0)
    done = probe(train=train, validation=validation, test=test.x, classes=4, seed=0, config=QUICK.replace(hidden=0))
    theirs = LogisticRegression(max_iter=1000).fit(train.x, train.y).predict(test.x)
    assert (done.scores.argmax(1) == theirs).mean() > 0.9


def test_nothing_is_found_where_nothing_is():
    rng = np.random.default_rng(0)
    train, validation = (Examples(rng.normal(size=(400, 8)), rng.integers(0, 2, 400)) for _ in range(2))
    done = probe(train=train, validation=validation, test=rng.normal(size=(2000, 8)), classes=2, seed=0, config=QUICK)
    truth = rng.integers(0, 2, 2000)
    assert abs(tagging.accuracy(scores=done.scores, labels=truth) - 0.5) < 0.05
    assert done.epoch < QUICK.epochs - QUICK.patience, "validation stops what only learns noise"


def test_tags_are_learned_one_by_one():
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        tags = rng.random((300, 5)) < 0.3
        parts.append(Examples(tags * 2.0 + rng.normal(size=(300, 5)), tags))
    train, validation, test = parts
    done = probe(train=train, validation=validation, test=test.x, classes=5, seed=0, config=QUICK)
    assert tagging.roc_auc(scores=done.scores, tags=test.y) > 0.85


def test_neither_the_scale_of_features_nor_a_constant_one_matters():
    train, validation, test = (Examples(np.hstack([x, np.full((len(x), 1), 3.0)]), y) for x, y in map(blobs, range(3)))
    plain = probe(train=train, validation=validation, test=test.x, classes=4, seed=0, config=QUICK)
    assert tagging.accuracy(scores=plain.scores, labels=test.y) > 0.95
    scale = np.logspace(-3, 3, 11)
    scaled = [Examples(part.x * scale + 7, part.y) for part in (train, validation)]
    other = probe(train=scaled[0], validation=scaled[1], test=test.x * scale + 7, classes=4, seed=0, config=QUICK)
    assert other.scores == pytest.approx(plain.scores, abs=1e-2)


def test_the_same_seed_gives_the_same_scores_and_leaves_torch_alone():
    train, validation, test = blobs(0), blobs(1), blobs(2)
    given = {"train": train, "validation": validation, "test": test.x, "classes": 4, "config": QUICK}
    state = torch.get_rng_state()
    first, again, other = probe(**given, seed=1), probe(**given, seed=1), probe(**given, seed=2)
    assert np.array_equal(first.scores, again.scores) and not np.array_equal(first.scores, other.scores)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": 1}, "classes=1"),
        ({"train": Examples(np.ones((4, 10)), np.zeros(4, int))}, "class 0"),
        ({"train": Examples(np.ones((0, 10)), np.zeros(0, int))}, "train"),
        ({"validation": Examples(np.ones((3, 10)), np.full(3, 9))}, "validation.*9..9"),
        ({"test": np.ones((3, 4))}, r"\(3, 4\)"),
        ({"train": Examples(np.ones((4, 10)), np.ones((4, 3), bool))}, "train.*3 tags"),
    ],
)
def test_bad_input_is_named(change, said):
    given = {"train": blobs(0), "validation": blobs(1), "test": blobs(2).x, "classes": 4, "seed": 0} | change
    with pytest.raises(DataError, match=said):
        probe(**given)
    with pytest.raises(ConfigError, match="patience"):
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
    parts = {name: Examples(x[split == name], pitch[split == name]) for name in ("train", "validation", "test")}
    test = parts.pop("test")
    done = probe(**parts, test=test.x, classes=4, seed=0, config=QUICK)
    assert tagging.accuracy(scores=done.scores, labels=test.y) > 0.8
