"""Encoders of waves agree with transformers' own classes, and refuse what they do not know."""

import json

import pytest
import torch

from slapkit.audio.frontend import make_transform
from slapkit.errors import ConfigError
from slapkit.models.encoders import AudioEncoderConfig, WaveformConfig, build_audio_encoder, waveform_encoder
from tests.models.waveform.wave_folders import PARTS as KINDS
from tests.models.waveform.wave_folders import noise, write

WINDOW_S = {"ast": 0.6, "whisper": 1.3}  # shorter than these two take, so that they are padded


def encoder_of(folder: str, kind: str, **options):
    config = waveform_encoder(folder, window_s=WINDOW_S.get(kind, 0.5), **options)
    return build_audio_encoder(config).eval(), config


def waves(config: AudioEncoderConfig, count: int = 3) -> torch.Tensor:
    return noise(count, config.window_frames * config.frontend.hop)


def cut(config: AudioEncoderConfig, wave: torch.Tensor) -> torch.Tensor:
    return make_transform(config.frontend)(wave)


def published_states(folder: str, kind: str, wave: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Hidden states of every layer, and what of them is sound, by transformers' extractor and model alone."""
    from transformers import AutoFeatureExtractor, AutoModel

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    model = model.encoder if kind == "whisper" else model
    rate = extractor.sampling_rate
    inputs = extractor([row.numpy() for row in wave], sampling_rate=rate, return_tensors="pt")
    with torch.no_grad():
        out = model(inputs[extractor.model_input_names[0]], output_hidden_states=True)
    states = [*out.hidden_states[:-1], out.last_hidden_state]
    sound = torch.ones(states[0].shape[1], dtype=torch.bool)
    if kind == "whisper":  # a step every 20 ms
        sound = torch.arange(len(sound)) * 320 < wave.shape[1]
    if kind == "ast":  # two tokens that are no patch, then bands of patches every 50 ms of 80 frames of 10 ms
        times = (100 - 8) // 5 + 1
        frames = 1 + (wave.shape[1] - 400) // 160
        patch = torch.arange(len(sound)) - 2
        sound = (patch >= 0) & (patch % times * 5 < frames)
    return states, sound


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_agrees_with_transformers(folders, kind):
    _, config = encoder_of(folders[kind], kind)
    wave = waves(config)
    states, sound = published_states(folders[kind], kind, wave)
    means = [state[:, sound].mean(1) for state in states]
    assert len(means) == 4 and not sound.all() == (kind in WINDOW_S)
    expected = dict(enumerate(means)) | {-1: means[3], -2: means[2], -4: means[0], None: torch.stack(means).mean(0)}
    assert min((a - b).abs().max() for i, a in enumerate(means) for b in means[:i]) > 1e-2  # a wrong layer would show
    for layer, value in expected.items():
        encoder, _ = encoder_of(folders[kind], kind, layer=layer)
        with torch.no_grad():
            torch.testing.assert_close(encoder(cut(config, wave)), value, rtol=1e-4, atol=1e-4)
        assert encoder.dim == 32


@pytest.mark.parametrize("kind", ["ast", "whisper"])
@pytest.mark.parametrize("seconds", [0.3, 0.77, None])
def test_spectrograms_agree_with_the_feature_extractors(folders, kind, seconds):
    from transformers import AutoFeatureExtractor

    longest = {"ast": 1.02, "whisper": 2.0}[kind]
    config = waveform_encoder(folders[kind], window_s=seconds or longest)
    extractor = AutoFeatureExtractor.from_pretrained(folders[kind])
    encoder = build_audio_encoder(config)
    samples = config.window_frames * 320
    wave = noise(2, samples)
    wave[1] *= 1e-4
    wave[1, : samples // 3] = 0  # silence has its own floor
    theirs = extractor([row.numpy() for row in wave], sampling_rate=16000, return_tensors="pt")
    found = encoder.extract(wave)
    torch.testing.assert_close(found, theirs[extractor.model_input_names[0]], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_as_in_a_batch_and_in_bfloat16(folders, kind):
    encoder, config = encoder_of(folders[kind], kind, layer=2)
    frames = cut(config, torch.cat([waves(config, 4), torch.zeros(1, waves(config).shape[1])]))
    with torch.no_grad():
        together, alone = encoder(frames), torch.cat([encoder(row[None]) for row in frames])
        with torch.autocast("cpu", torch.bfloat16):
            rounded = encoder(frames[:4])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert together.isfinite().all() and (together[0] - together[1]).abs().max() > 1e-4
    assert (rounded - together[:4]).norm() / together[:4].norm() < 0.05


@pytest.mark.parametrize("kind", ["wav2vec2", "ast", "whisper"])
@pytest.mark.parametrize("layer", [1, None])
def test_gradients_reach_every_trained_weight(folders, kind, layer):
    encoder, config = encoder_of(folders[kind], kind, layer=layer, frozen=False)
    encoder.train()(cut(config, waves(config))).square().sum().backward()
    found = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert found.keys() == {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert len(found) > 10 and all(g.isfinite().all() for g in found.values())


def test_the_same_seed_trains_the_same(folders):
    """No SpecAugment drawn by numpy, no layer skipped: dropout repeats with torch's seed."""
    encoder, config = encoder_of(folders["wav2vec2"], "wav2vec2", frozen=False)
    assert encoder.train().model.config.mask_time_prob > 0
    values = []
    for _ in range(2):
        torch.manual_seed(5)
        values.append(encoder(cut(config, waves(config))))
    assert torch.equal(*values)


def test_the_configuration_holds_all_that_a_checkpoint_needs(folders):
    encoder, config = encoder_of(folders["hubert"], "hubert", layer=1)
    assert len(encoder.model.encoder.layers) == 2  # layers behind the chosen one are not computed
    assert config.frontend.sample_rate == 24000 and config.frontend.hop == 480 and config.frozen
    assert AudioEncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    moved = config.replace(waveform=config.waveform.replace(source="/no/longer/there"))
    build_audio_encoder(moved, weights=False).load_state_dict(encoder.state_dict())
    with pytest.raises(ConfigError, match="/no/longer/there"):
        build_audio_encoder(moved)


def test_the_encoder_of_a_larger_model_is_taken_out_of_it(tmp_path, folders):
    """As most are published: with a head for some task, whose weights are left where they are."""
    from transformers import HubertForCTC, Wav2Vec2FeatureExtractor

    HubertForCTC.from_pretrained(folders["hubert"]).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=24000).save_pretrained(tmp_path)
    (whole, config), (part, _) = encoder_of(str(tmp_path), "hubert"), encoder_of(folders["hubert"], "hubert")
    frames = cut(config, waves(config))
    with torch.no_grad():
        assert torch.equal(whole(frames), part(frames))


def change_json(path, **changes) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (values | changes).items() if v != "drop"}))


MERT = {"model_type": "mert_model", "auto_map": {"AutoModel": "modeling_MERT.MERTModel"}}


def test_mert_is_loaded_as_hubert_and_no_code_of_a_model_is_run(tmp_path, folders):
    write(tmp_path, "hubert")
    switches = {"feature_extractor_cqt": False, "deepnorm": False, "attention_relax": -1.0}
    change_json(tmp_path / "config.json", **MERT, **switches)
    (tmp_path / "modeling_MERT.py").write_text("raise SystemExit('this code must not run')")
    (mert, config), (hubert, _) = encoder_of(str(tmp_path), "hubert"), encoder_of(folders["hubert"], "hubert")
    frames = cut(config, waves(config))
    with torch.no_grad():
        assert torch.equal(mert(frames), hubert(frames))
    change_json(tmp_path / "config.json", attention_relax=32.0)
    with pytest.raises(ConfigError, match="attention_relax.*32"):
        waveform_encoder(str(tmp_path))
    change_json(tmp_path / "config.json", model_type="other", auto_map={"AutoConfig": "modeling_MERT.Config"})
    with pytest.raises(ConfigError, match=str(tmp_path)):
        waveform_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", None), ("config.json", "{}"), ("config.json", "no json"), ("preprocessor_config.json", "[]")]
    + [("preprocessor_config.json", None), ("model.safetensors", None), ("model.safetensors", "cut off")],
)
def test_a_folder_with_a_part_missing_or_damaged_is_refused(tmp_path, name, content):
    write(tmp_path, "wav2vec2")
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        build_audio_encoder(waveform_encoder(str(tmp_path)))


def test_an_unknown_source_is_refused_by_name():
    with pytest.raises(ConfigError, match="source='no/such-model'"):
        waveform_encoder("no/such-model")


def test_weights_that_do_not_fit_are_refused_and_not_drawn_at_random(tmp_path, folders):
    from safetensors.torch import load_file, save_file

    write(tmp_path, "wav2vec2")
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.layers.1.feed_forward.output_dense.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="lacks 1 .*layers.1.feed_forward.output_dense.weight"):
        build_audio_encoder(waveform_encoder(str(tmp_path)))


def test_another_feature_extractor_is_refused_by_name(tmp_path):
    from transformers import ClapFeatureExtractor

    write(tmp_path, "wav2vec2")
    ClapFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="ClapFeatureExtractor.*Wav2Vec2FeatureExtractor"):
        waveform_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("wav2vec2", {"layer": 4}, "layer=4.*3 layers.*-4 to 3"),
        ("wav2vec2", {"layer": -5}, "layer=-5"),
        ("wav2vec2", {"window_s": 0.004}, "window_s"),
        ("ast", {"window_s": 1.5}, "window_s=1.5.*1.02 s"),
        ("ast", {"window_s": 0.02}, "window_s"),
        ("whisper", {"window_s": 2.5}, "window_s=2.5.*2 s"),
    ],
)
def test_layers_and_windows_that_the_model_lacks_are_refused(folders, kind, changes, words):
    with pytest.raises(ConfigError, match=words):
        build_audio_encoder(waveform_encoder(folders[kind], **{"window_s": 0.5} | changes))


@pytest.mark.parametrize(
    "changes",
    [{"frontend": {"kind": "log-mel"}}, {"kind": "cnn"}, {"waveform": None}, {"kind": "htsat", "waveform": None}],
)
def test_waves_and_spectrograms_are_not_mixed_up(folders, changes):
    config = waveform_encoder(folders["wav2vec2"])
    with pytest.raises(ConfigError, match="waveform_encoder"):
        config.replace(**changes)


def test_a_window_shorter_than_one_step_is_refused(tmp_path):
    write(tmp_path, "wav2vec2", conv_kernel=(400, 4, 4))
    with pytest.raises(ConfigError, match="window_s: 320 samples are too few"):
        build_audio_encoder(waveform_encoder(str(tmp_path), window_s=0.02))


def test_another_rate_or_an_empty_architecture_is_refused(folders):
    config = waveform_encoder(folders["wav2vec2"])
    with pytest.raises(ConfigError, match="8000.*16000 Hz"):
        build_audio_encoder(config.replace(frontend=config.frontend.replace(sample_rate=8000)))
    with pytest.raises(ConfigError, match="architecture"):
        WaveformConfig(source="x")
