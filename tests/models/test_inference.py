"""A trained model in use: embeddings depend on their own input alone, and bad input is named."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import slapkit
from slapkit.errors import AudioError, CheckpointError, ConfigError, DataError
from slapkit.models.inference import Model
from tests.training.tones import assert_equal, make_tones, run, tiny, weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    dataset = make_tones(folder / "tones")
    return run(tiny({"steps": 30}), dataset, folder / "run", folder / "cache"), dataset, folder


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
    paths, before = [clip.path for clip in trained[1].clips[:21]], torch.get_num_threads()
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


def test_arrays_are_files_and_may_be_short_or_long(model, trained):
    path = trained[1].clips[0].path
    wave, rate = soundfile.read(path, dtype="float32")
    for array in (wave, np.stack([wave, wave])):
        np.testing.assert_allclose(model.embed_audio([array], sample_rate=rate), model.embed_audio([path]), atol=1e-5)
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(5 * 24000) / 24000)).astype(np.float32)
    out = model.embed_audio([tone[:2000], tone[:24000], tone], sample_rate=24000)
    assert np.isfinite(out).all() and (out @ out.T).min() > 0.5, "the same tone, short or long"


class Decoder:
    """What torchcodec's decoder, which `datasets` gives, has."""

    def __init__(self, wave, rate):
        self.data, self.sample_rate = torch.from_numpy(wave)[None], rate

    def get_all_samples(self):
        return self


def test_sounds_and_texts_come_as_people_have_them(model, trained):
    paths = [str(clip.path) for clip in trained[1].clips[:3]]
    wave, rate = soundfile.read(paths[0], dtype="float32")
    expected = model.embed_audio(paths)
    for given in (np.array(paths), np.array(paths, dtype=object), pd.Series(paths), tuple(paths), iter(paths)):
        np.testing.assert_array_equal(model.embed_audio(given), expected)
    for one in (
        {"array": wave, "sampling_rate": rate},
        {"array": wave.tolist(), "sampling_rate": rate},
        Decoder(wave, rate),
    ):
        np.testing.assert_allclose(model.embed_audio([one, paths[1]]), expected[:2], atol=1e-5)
    texts = ["low tone", "high"]
    for given in (np.array(texts), np.array(texts, dtype=object), pd.Series(texts, index=[5, 3]), tuple(texts)):
        np.testing.assert_array_equal(model.embed_text(given), model.embed_text(texts))


def test_which_sound_is_bad_is_said_and_no_sound_is_printed(model):
    good, million = np.full(8000, 0.1, dtype=np.float32), [0.1] * 1_000_000
    cases = [
        (million, r"sounds\[0\] is 0.1 of type float: a list of paths, arrays"),
        ([million], r"sounds\[0\] is list of 1,000,000"),
        (np.array(million), r"ndarray of shape \[1000000\]"),
        ({"array": good, "sampling_rate": 8000}, "put a single one in brackets"),
        ([good, {"bytes": b"x" * 10_000_000, "path": None}], r"sounds\[1\] is .*'bytes'"),
    ]
    for given, named in cases:
        with pytest.raises(DataError, match=named) as raised:
            model.embed_audio(given, sample_rate=8000)
        assert len(str(raised.value)) < 400
    for wrong in (np.full(800, np.nan), np.zeros(8000), good.astype(np.int16)):
        with pytest.raises(AudioError, match=r"sounds\[1\]"):
            model.embed_audio([good, wrong, good], sample_rate=8000)
    for given in (np.ones((2, 3)), pd.Series(["x", None]), [b"x" * 1_000_000], 7):
        with pytest.raises(DataError, match="captions") as raised:
            model.embed_text(given)
        assert len(str(raised.value)) < 400


def test_loaded_model_gives_what_training_gave(trained, model):
    run, dataset, _ = trained
    paths, live = [clip.path for clip in dataset.split("test")], Model(run.model)
    np.testing.assert_allclose(model.embed_text(["low", "high"]), live.embed_text(["low", "high"]), atol=1e-6)
    np.testing.assert_allclose(model.embed_audio(paths), live.embed_audio(paths), atol=1e-6)
    assert model.fingerprint() == live.fingerprint()


def test_training_saw_no_test_clip(trained):
    """The held-out clips could be noise and the weights would be the same."""
    done, dataset, folder = trained
    rng, noisy = np.random.default_rng(1), folder / "noisy"
    shutil.copytree(dataset.root, noisy)
    for clip in dataset.split("test"):
        soundfile.write(noisy / clip.id, 0.1 * rng.standard_normal(48000), 24000)
    other = run(tiny({"steps": 30}), slapkit.data.read(noisy), folder / "other", folder / "cache")
    assert_equal(weights(done.folder), weights(other.folder))


@pytest.mark.parametrize(
    ("method", "inputs", "options", "error", "named"),
    [
        ("embed_text", "a flute", {}, DataError, "captions"),
        ("embed_text", ["a flute", "  "], {}, DataError, "caption 1"),
        ("embed_text", [], {}, DataError, "captions"),
        ("embed_text", [3], {}, DataError, r"captions\[0\] is 3"),
        ("embed_text", ["a"], {"embedding": "p"}, ConfigError, "embedding='p'"),
        ("embed_text", ["a"], {"batch_size": -1}, ConfigError, "batch_size=-1"),
        ("embed_audio", [np.ones(100)], {"batch_size": 0}, ConfigError, "batch_size=0"),
        ("embed_audio", [], {}, DataError, "sounds"),
        ("embed_audio", [np.ones(100, dtype=np.float32)], {}, AudioError, "sample_rate"),
        ("embed_audio", ["/absent.wav"], {}, AudioError, "absent.wav"),
    ],
)
def test_bad_input_is_named(model, method, inputs, options, error, named):
    with pytest.raises(error, match=named):
        getattr(model, method)(inputs, **options)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        (lambda c: c["model"].update(dim=64), CheckpointError, "another shape"),
        (lambda c: c["model"].update(dimm=64), ConfigError, "'dim'"),
        (lambda c: c["model"]["text"].update(fingerprint="0" * 16), CheckpointError, "fingerprint 0000"),
        (lambda c: c.update(objective="clap"), CheckpointError, "missing|unknown"),
        (lambda c: c.update(objective="slop"), CheckpointError, "objective"),
        (lambda c: c.update(format=99), CheckpointError, "format 99"),
    ],
)
def test_folders_that_hold_no_model_are_refused(trained, tmp_path, change, error, named):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained[0].folder / name, tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    change(content)
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(error, match=named):
        slapkit.load(tmp_path)


def test_a_folder_that_is_empty_or_damaged_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        slapkit.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="config.json"):
        slapkit.load(tmp_path)
