"""Training that starts from a checkpoint: what is taken, what is drawn anew, and what is refused."""

import json
import shutil

import pytest
import torch

import slapkit
from slapkit.errors import CheckpointError, ConfigError
from slapkit.hub import load_joint, start_from, tuning_lr, with_towers_of
from slapkit.models.joint import HeadConfig
from slapkit.models.weights import load_tensors
from slapkit.presets import preset
from slapkit.training import train
from tests.training.tones import make_tones, tiny


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("tones") / "tones", clips=36)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(tones, cache, tmp_path_factory):
    """A short run with a CNN and a frozen text encoder."""
    chosen = tiny({"steps": 3})
    return fit(chosen, tones, tmp_path_factory.mktemp("run"), cache).folder


def fit(chosen, tones, folder, cache):
    model, settings = chosen.model, chosen.train
    if settings.init:
        model = start_from(model, settings.objective, settings.init, seed=settings.seed)
    return train(model=model, config=settings, dataset=tones, out_dir=folder, cache_dir=cache, progress=False)


def published(folder, train=None, model=None):
    """The tiny preset with the encoders of a published folder."""
    chosen = tiny({"steps": 4, "init": str(folder)} | (train or {}), model)
    return chosen.replace(model=with_towers_of(chosen.model, folder))


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["unfused", "fused"])
def test_towers_are_taken_and_the_model_says_what_is_new(kind, folders):
    folder = folders[kind][0]
    there = load_joint(folder)
    config = with_towers_of(tiny().model, folder)
    assert config.dim == there.config.dim and config.predictor.hidden == 64, "a CLAP has none: the preset's"
    joint = start_from(config, "slap", folder, seed=1)
    assert same(joint.audio, there.audio) and same(joint.text, there.text)
    kept = "kept audio encoder, text encoder, audio projector, text projector; drawn anew: audio predictor, text pred"
    assert kept in joint.start and str(folder) in joint.start
    trained = {n for n, p in joint.named_parameters() if p.requires_grad}
    unused = {n for n, _ in joint.named_parameters() if "fusion_model" in n or "mel_conv2d" in n}
    assert bool(unused) == (kind == "fused") and not trained & unused
    assert "text.encoder.model.pooler.dense.weight" in trained
    assert same(start_from(config, "slap", folder, seed=1), joint) and not same(
        start_from(config, "slap", folder), joint
    )


@pytest.mark.parametrize("objective", ["clap", "siglip"])
def test_a_part_is_kept_where_its_shapes_and_the_objective_allow(objective, folders):
    folder = folders["unfused"][0]
    there = load_joint(folder)
    # Dropout changes no shape, another width does.
    heads = {"audio_projector": HeadConfig(24, batch_norm=False, dropout=0.3), "text_projector": HeadConfig(25)}
    joint = start_from(with_towers_of(tiny().model, folder).replace(**heads), objective, folder)
    ours, theirs = (list(one.audio.projector.state_dict().values()) for one in (joint, there))
    assert all(map(torch.equal, ours, theirs)) and joint.text.projector[0].out_features == 25
    drawn = "text projector" if objective == "clap" else "text projector, temperature"
    assert joint.start.endswith(f"drawn anew: {drawn}")
    assert (joint.log_scale == there.log_scale) == (objective == "clap")


def test_a_run_starts_where_another_ended(run, tones, cache, tmp_path):
    """Without a step of any size, the joint space is that of the start."""
    chosen = tiny({"steps": 1, "init": str(run), "lr": 1e-12})
    there = load_joint(run).config
    assert with_towers_of(preset("tiny").model, run) == there.replace(text=there.text.replace(fingerprint=None))
    fit(chosen, tones, tmp_path / "run", cache)
    before, after = load_joint(run), load_joint(tmp_path / "run")
    for name, tensor in dict(before.named_parameters()).items():
        torch.testing.assert_close(after.get_parameter(name), tensor, atol=1e-6, rtol=0)
    assert start_from(chosen.model, "slap", run).start.endswith("predictor; drawn anew: nothing")


def test_a_run_of_several_seeds_starts_another_by_its_first(run, tmp_path, monkeypatch):
    """The seeds together, which every other use takes, have other weights here: they are told by their loudness."""
    shutil.copytree(run, tmp_path / "run" / "checkpoint")
    content = json.loads((run / "config.json").read_text())
    content["model"]["audio"] |= {"mel_mean": -41.5}
    whole = shutil.copytree(run, tmp_path / "run" / "together")
    (whole / "config.json").write_text(json.dumps(content))
    towers, first = with_towers_of(preset("tiny").model, tmp_path / "run"), load_joint(run)
    assert load_joint(tmp_path / "run").config.audio.mel_mean == -41.5 != towers.audio.mel_mean
    joint = start_from(towers, "slap", tmp_path / "run")
    assert joint.config.audio.mel_mean == first.config.audio.mel_mean and same(joint.audio, first.audio)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert with_towers_of(preset("tiny").model, "~/run") == towers


def test_encoders_that_have_learned_are_trained_slowly():
    frozen, learning = preset("pretrained").model, preset("tiny").model
    assert tuning_lr(frozen, 3e-3) == 3e-3 and tuning_lr(learning, 2e-3) == 1e-4 and tuning_lr(learning, 1e-5) == 1e-5


def test_slap_trains_from_a_published_clap(folders, tones, cache, tmp_path):
    folder = folders["unfused"][0]
    fit(published(folder), tones, tmp_path / "run", cache)
    joint = load_joint(tmp_path / "run")
    assert joint.has_predictor and joint.config.dim == 24
    before, after = load_joint(folder).state_dict(), joint.state_dict()
    for name in ("audio.encoder.model.audio_encoder.patch_embed.proj.weight", "text.encoder.model.pooler.dense.weight"):
        step = (after[name] - before[name]).abs()
        assert 0 < step.max() < 0.01, "moved, and only by the steps of a few learning rates"


def test_a_run_starts_from_a_run_and_keeps_its_loudness(run, tones, cache, tmp_path):
    """A CNN's weights know the mean and spread of the data that they were trained on, not of the new data."""
    content = json.loads((run / "config.json").read_text())
    content["model"]["audio"] |= {"mel_mean": -41.5, "mel_std": 13.25}
    content.pop("signature", None)
    other = shutil.copytree(run, tmp_path / "other")
    (other / "config.json").write_text(json.dumps(content))
    chosen = tiny({"steps": 2, "init": str(other), "lr": 1e-12, "objective": "clap"})
    fit(chosen, tones, tmp_path / "run", cache)
    model = slapkit.load(tmp_path / "run", device="cpu")
    assert (model.config.audio.mel_mean, model.config.audio.mel_std) == (-41.5, 13.25)
    weights = {n: t for n, t in load_tensors(run / "model.safetensors").items() if n.startswith("audio.encoder")}
    kept = load_tensors(tmp_path / "run" / "model.safetensors")
    learned = {n for n in weights if "running" not in n and "num_batches" not in n}
    assert learned and all(torch.allclose(weights[n], kept[n], atol=1e-6) for n in learned)


def test_what_does_not_fit_is_refused_before_any_work(folders, run, tones, tmp_path):
    folder = folders["unfused"][0]
    adopted = published(folder)
    frozen = adopted.replace(model=adopted.model.replace(text=adopted.model.text.replace(frozen=True)))
    for chosen, named in [
        (tiny({"init": str(folder)}), "audio.kind: 'htsat' there, 'cnn' now"),
        (tiny({"init": str(run)}, {"audio": {"channels": (8, 32)}}), "audio.channels"),
        (tiny({"init": str(run)}, {"text": {"pooling": "cls"}}), "text.pooling"),
        (tiny({"init": str(tmp_path)}), str(tmp_path)),
        (frozen, "text.frozen=True"),
    ]:
        with pytest.raises(CheckpointError, match=named):
            fit(chosen, tones, tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "cache").exists() and not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="init=' '"):
        tiny({"init": " "})
