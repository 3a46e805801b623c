"""A trained model in use: embeddings depend on their own input alone, and bad input is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

import slapkit  # noqa: E402
from slapkit.errors import AudioError, CheckpointError, ConfigError, DataError  # noqa: E402
from slapkit.metrics.embedded import embed_split  # noqa: E402
from slapkit.metrics.evaluate import evaluate  # noqa: E402
from slapkit.models.inference import Model  # noqa: E402
from slapkit.models.weights import load_tensors  # noqa: E402
from slapkit.training import train  # noqa: E402
from tests.training.tones import make_tones, tiny  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    dataset = make_tones(folder / "tones", clips=48, seconds=2.0)
    chosen = tiny({"steps": 30})
    run = train(
        model=chosen.model, config=chosen.train, dataset=dataset, out_dir=folder / "run", cache_dir=folder / "cache",
        progress=False,
    )  # fmt: skip
    return run, dataset, folder


@pytest.fixture(scope="module")
def model(trained):
    return slapkit.load(trained[0].folder)


@pytest.mark.parametrize("embedding", ["q", "z"])
def test_audio_alone_in_a_batch_and_in_any_order(model, trained, embedding):
    paths = [clip.path for clip in trained[1].clips[:9]]
    together = model.embed_audio(paths, embedding=embedding)
    assert together.shape == (9, 32) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([model.embed_audio([path], embedding=embedding) for path in paths])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(
        model.embed_audio(paths[::-1], embedding=embedding, batch_size=4)[::-1], together, atol=1e-5
    )


def test_cores_that_take_a_sound_each_change_nothing(model, trained, tmp_path):
    paths = [clip.path for clip in trained[1].clips[:21]]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = model.embed_audio(paths)
        torch.set_num_threads(3)
        np.testing.assert_allclose(model.embed_audio(paths), alone, atol=1e-5)
        with pytest.raises(AudioError, match="first.wav"):  # whichever core is the first to find a fault
            model.embed_audio([*paths[:5], tmp_path / "first.wav", *paths[5:], tmp_path / "second.wav"])
    finally:
        torch.set_num_threads(before)


def test_text_alone_in_a_batch_and_in_any_order(model):
    captions = ["low", "a high hurried tone with many more words than the others have", "calm beeping", "shrill!"]
    together = model.embed_text(captions)
    alone = np.concatenate([model.embed_text([caption]) for caption in captions])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(model.embed_text(captions[::-1], batch_size=3)[::-1], together, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_bfloat16_stays_near_and_other_precisions_are_refused(trained, model):
    rounded = slapkit.load(trained[0].folder, precision="bf16")
    paths, captions = [clip.path for clip in trained[1].clips[:9]], ["low", "a high hurried tone", "shrill!"]
    for near, exact in (
        (rounded.embed_audio(paths), model.embed_audio(paths)),
        (rounded.embed_text(captions), model.embed_text(captions)),
    ):
        assert near.dtype == np.float32 and not np.array_equal(near, exact)
        np.testing.assert_allclose(np.linalg.norm(near, axis=1), 1, atol=1e-5)
        assert (near * exact).sum(1).min() > 0.999
    with pytest.raises(ConfigError, match="precision='fp8': take 'no' .* or 'bf16'"):
        slapkit.load(trained[0].folder, precision="fp8")


def test_arrays_are_files(model, trained):
    path = trained[1].clips[0].path
    wave, rate = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(model.embed_audio([wave], sample_rate=rate), model.embed_audio([path]), atol=1e-5)
    stereo = np.stack([wave, wave])
    np.testing.assert_allclose(model.embed_audio([stereo], sample_rate=rate), model.embed_audio([path]), atol=1e-5)


def test_short_and_long_sounds_have_embeddings(model):
    time = np.arange(5 * 24000) / 24000
    tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    out = model.embed_audio([tone[:2000], tone[:24000], tone], sample_rate=24000)
    assert np.isfinite(out).all() and (out @ out.T).min() > 0.5, "the same tone, short or long"


def test_loaded_model_gives_what_training_gave(trained, model):
    run, dataset, folder = trained
    found = embed_split(Model(run.model), dataset, split="test", cache_dir=folder / "cache", progress=False)
    np.testing.assert_allclose(model.embed_text(found.captions), found.text(), atol=1e-5)
    # Cached features are float16, so sound agrees to their resolution.
    np.testing.assert_allclose(model.embed_audio([c.path for c in found.clips]), found.audio(), atol=2e-2)


def test_metrics_are_complete_and_in_range(trained):
    run, dataset, folder = trained
    metrics = evaluate(Model(run.model), dataset, cache_dir=folder / "cache", progress=False)
    for kind in ("q", "z"):
        for direction in ("text_to_audio", "audio_to_text"):
            scores = metrics["retrieval"][kind][direction]
            assert 0 <= scores["R@1"] <= scores["R@5"] <= scores["R@10"] <= 1
            assert 0 < scores["median_rank"] <= 1 and 0 < scores["mean_rank"] <= 1
    assert metrics["protocol"]["queries"] == 16 and metrics["protocol"]["candidates"] == 8
    assert 0 <= metrics["gap"]["linear_separability"] <= 1 and 0 <= metrics["gap"]["centroid_distance"] <= 2
    assert 1 <= metrics["health"]["effective_rank"] <= 8
    again = evaluate(slapkit.load(run.folder), dataset, cache_dir=folder / "cache", progress=False)
    assert json.dumps(again, sort_keys=True) == json.dumps(metrics, sort_keys=True), "evaluation repeats itself"


def test_training_saw_no_test_clip(trained):
    """The held-out clips could be noise and the weights would be the same."""
    run, dataset, folder = trained
    rng = np.random.default_rng(1)
    noisy = folder / "noisy"
    shutil.copytree(dataset.root, noisy)
    for clip in dataset.split("test"):
        soundfile.write(noisy / clip.id, 0.1 * rng.standard_normal(48000), 24000)
    chosen = tiny({"steps": 30})
    other = train(
        model=chosen.model, config=chosen.train, dataset=slapkit.data.read(noisy), out_dir=folder / "other",
        cache_dir=folder / "cache", progress=False,
    )  # fmt: skip
    a, b = load_tensors(run.folder / "model.safetensors"), load_tensors(other.folder / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_bad_input_is_named(model, tmp_path):
    with pytest.raises(DataError, match="must be a list, not one str"):
        model.embed_text("a flute")
    with pytest.raises(DataError, match="caption 1 is empty"):
        model.embed_text(["a flute", "  "])
    with pytest.raises(DataError, match="no captions"):
        model.embed_text([])
    with pytest.raises(DataError, match=r"captions\[0\] is 3"):
        model.embed_text([3])
    with pytest.raises(DataError, match="no sounds"):
        model.embed_audio([])
    with pytest.raises(AudioError, match="sample_rate"):
        model.embed_audio([np.ones(100, dtype=np.float32)])
    with pytest.raises(AudioError, match="absent.wav"):
        model.embed_audio([tmp_path / "absent.wav"])
    with pytest.raises(ConfigError, match="embedding='p'"):
        model.embed_text(["a"], embedding="p")


def test_folders_that_hold_no_model_are_refused(trained, tmp_path):
    with pytest.raises(CheckpointError, match="holds no trained model"):
        slapkit.load(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(trained[0].folder, broken)
    config = json.loads((broken / "config.json").read_text())

    def rewrite(change):
        altered = json.loads(json.dumps(config))
        change(altered)
        (broken / "config.json").write_text(json.dumps(altered))

    rewrite(lambda c: c["model"].update(dim=64))
    with pytest.raises(CheckpointError, match="of another shape"):
        slapkit.load(broken)
    rewrite(lambda c: c["model"].update(dimm=64))
    with pytest.raises(ConfigError, match="did you mean 'dim'"):
        slapkit.load(broken)
    rewrite(lambda c: c["model"]["text"].update(fingerprint="0" * 16))
    with pytest.raises(CheckpointError, match="fingerprint 0000"):
        slapkit.load(broken)
    rewrite(lambda c: c.update(objective="clap"))
    with pytest.raises(CheckpointError, match="does not fit"):
        slapkit.load(broken)
    rewrite(lambda c: c.update(objective="slop"))
    with pytest.raises(CheckpointError, match="objective"):
        slapkit.load(broken)
    rewrite(lambda c: c.update(format=99))
    with pytest.raises(CheckpointError, match="format 99"):
        slapkit.load(broken)
    (broken / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        slapkit.load(broken)
