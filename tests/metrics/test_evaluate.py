"""A model on held-out clips: the parts of one evaluation agree with the pure functions, in the model's precision."""

from dataclasses import replace

import numpy as np
import pytest

from slapkit import metrics
from slapkit.errors import DataError
from slapkit.metrics.embedded import embed_split
from slapkit.metrics.evaluate import evaluate
from slapkit.metrics.probing import represent_clips
from slapkit.metrics.summary import chance, main_figures, other_figures
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from tests.training.tones import make_tones, tiny

FACTS = {"instruments": ["flute"], "style": "jig", "metre": "6/8", "tempo_class": "slow", "drums": False}
FACTS |= {"percussion": "", "texture": "drone", "accompaniment": "", "register": "low", "articulation": "plain"}


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("tones"), clips=24)


@pytest.fixture(scope="module")
def joint(tones):
    return JointModel.build(tiny().model, "slap", captions=tones.captions_flat()[0])


def test_a_split_is_embedded_by_windows_and_measured_as_by_the_pure_functions(tones, joint, tmp_path):
    model, options = Model(joint), {"cache_dir": tmp_path, "progress": False}
    found = embed_split(model, tones, split="test", **options)
    result = evaluate(model, tones, seed=3, **options)
    halves = found.arrays["z_first"] + found.arrays["z_last"]  # clips of 2 s: two windows of 1 s
    np.testing.assert_allclose(halves / np.linalg.norm(halves, axis=1, keepdims=True), found.audio("z"), atol=1e-5)
    np.testing.assert_allclose(model.embed_text(found.captions), found.text("q"), atol=1e-6)
    rank = {"text_to_audio": metrics.text_to_audio_ranks, "audio_to_text": metrics.audio_to_text_ranks}
    for kind, gap in (("q", "gap"), ("z", "gap_z")):
        space = {"audio": found.audio(kind), "text": found.text(kind), "clip_of_caption": found.clip_of_caption}
        for way, scores in result["retrieval"][kind].items():
            assert scores == metrics.retrieval_scores(rank[way](**space))
        pairs = {"audio": space["audio"], "text": space["text"][::2]}
        assert result[gap]["centroid_distance"] == pytest.approx(metrics.centroid_distance(**pairs))
        assert result[gap]["linear_separability"] == metrics.linear_separability(**pairs, folds=4, seed=3)
    ranks = [metrics.effective_rank(found.audio()), metrics.effective_rank(found.text())]
    assert result["health"]["effective_rank"] == pytest.approx(min(ranks))
    assert result["protocol"]["queries"] == 8 and result["protocol"]["candidates"] == 4
    with pytest.raises(DataError, match="'nowhere'"):
        evaluate(model, tones, split="nowhere", **options)


def test_partial_captions_count_by_their_facts_and_the_headline_leaves_them_out(tones, joint, tmp_path):
    """A register each for the two captions of a tone, and a partial caption that is true of half of the test clips."""
    model, options, clips = Model(joint), {"cache_dir": tmp_path, "progress": False}, []
    for i, clip in enumerate(tones):
        mode = ("major", "minor")[i // 2 % 2]
        columns = {"caption_registers": ["sentence", "terse", "partial"], "caption_facts": ["", "", f"mode={mode}"]}
        clips.append(replace(clip, captions=(*clip.captions, mode), facts=FACTS | columns | {"mode": mode}))
    found, plain = (evaluate(model, data, **options) for data in (tones.with_clips(clips), tones))
    assert [clip.captions for clip in tones.with_clips(clips).described()] == [clip.captions for clip in tones]
    assert found["retrieval"] == plain["retrieval"] and found["gap"] == plain["gap"] and plain["registers"] == {}
    assert found["protocol"]["queries"] == 8 and found["protocol"]["shared_captions"] == 0
    assert list(found["registers"]) == ["sentence", "terse", "partial"] and plain["by_name"] == {}
    half = found["registers"]["partial"]
    own = embed_split(model, tones.with_clips(clips), split="test", **options)
    right, scores = own.frame["mode"].to_numpy(), own.text()[2::3] @ own.audio().T
    shares = [np.mean(right[np.argsort(-row)[: (right == mode).sum()]] == mode) for row, mode in zip(scores, right)]
    assert half == {"precision@10": pytest.approx(np.mean(shares)), "chance": 0.5, "queries": 4}
    alone = metrics.text_to_audio_ranks(audio=own.audio(), text=own.text()[1::3], clip_of_caption=np.arange(4))
    assert found["registers"]["terse"]["text_to_audio"] == metrics.retrieval_scores(alone)
    found["protocol"]["shared_captions"] = 3
    lines = main_figures({"parameters": {"objective": "slap"}}, found)
    assert any("3 of the captions belong to several clips" in line for line in lines)
    assert any(line.startswith("  partial    precision of the first 10* ") for line in lines), "its chance is a half"
    assert any("R@1 " in line and "R@10* " in line and line.endswith("(chance 25.0 %, 100.0 %)") for line in lines)
    assert lines[-1].startswith("  * says nothing")


def test_chance_stands_beside_recalls_and_what_it_reaches_is_marked():
    def figures(clips, each):
        same = dict.fromkeys(("R@1", "R@5", "R@10", "median_rank"), 0.25)
        retrieval = {"q": {"text_to_audio": same, "audio_to_text": same}}
        return {"retrieval": retrieval, "protocol": {"candidates": clips, "queries": clips * each}}

    lines = main_figures({"parameters": {"objective": "slap"}}, figures(6, 3))
    assert lines[0] == "SLAP text to audio: R@1 25.0 %  R@5* 25.0 %  R@10* 25.0 %  median rank 25.0 %"
    assert lines[1] == "  of 6 clips, chance 16.7 %, 83.3 %, 100.0 %"
    rng = np.random.default_rng(0)
    drawn = [(rng.permutation(18)[:5] < 3).any() for _ in range(20_000)]
    assert abs(chance(figures(6, 3), 5, "audio_to_text") - np.mean(drawn)) < 0.02
    assert "R@5* 25.0 %" in lines[2] and "says nothing" in lines[-1]
    lines = main_figures({"parameters": {"objective": "slap"}}, figures(100, 1))
    assert "of 100 captions, chance 1.0 %, 5.0 %, 10.0 %" in lines[3] and not any("*" in line for line in lines)


def test_evaluation_keeps_the_precision_of_the_model(tones, joint, tmp_path):
    options = {"cache_dir": tmp_path, "progress": False}
    exact, half = Model(joint), Model(joint, precision="bf16")
    found = {model.precision: embed_split(model, tones, split="test", **options) for model in (exact, half)}
    assert not np.array_equal(found["no"].audio(), found["bf16"].audio())
    np.testing.assert_allclose(half.embed_text(found["bf16"].captions), found["bf16"].text(), atol=1e-6)
    assert (found["no"].audio() * found["bf16"].audio()).sum(axis=1).min() > 0.99
    values = [evaluate(model, tones, **options) for model in (exact, half)]
    assert values[0]["gap"] != values[1]["gap"]
    assert [value["protocol"]["precision"] for value in values] == ["float32", "bf16"]
    h = [represent_clips(model, tones, **options)[0] for model in (exact, half)]
    assert h[0].shape == h[1].shape and not np.array_equal(*h)


def test_clips_in_unseen_sounds_are_measured_beside_the_same_clips_in_known_ones(tones, joint, tmp_path):
    """Three of four test clips once more, in the sound of the next one: its clip is found where it was placed next."""
    model, options, clips = Model(joint), {"cache_dir": tmp_path, "progress": False}, list(tones)
    assert evaluate(model, tones, **options)["timbre_shift"] == {}
    own = [clip for clip in clips if clip.split == "test"][:3]
    shifted = [replace(a, id=f"shift/{a.id}", split="shift", path=b.path) for a, b in zip(own, own[1:] + own[:1])]
    found = evaluate(model, tones.with_clips([*clips, *shifted]), **options)["timbre_shift"]
    alone = embed_split(model, tones.with_clips(own), split="test", **options)
    audio, text, clip_of = alone.audio(), alone.text(), alone.clip_of_caption
    expected = {"known": audio, "unseen": np.roll(audio, -1, axis=0)}
    for sound, moved in expected.items():
        ranks = metrics.text_to_audio_ranks(audio=moved, text=text, clip_of_caption=clip_of)
        assert found[sound] == pytest.approx(metrics.retrieval_scores(ranks))
    assert found["clips"] == 3
    metrics_of = {"timbre_shift": {"clips": 200, "unseen": {"R@10": 0.7}, "known": {"R@10": 0.8}}}
    (line,) = other_figures(metrics_of)
    assert all(part in line for part in ("70.0 %", "80.0 %", "200", "5.0 %"))
