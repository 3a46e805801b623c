"""musicnn: the original's values, one clip as in a batch, weights that are missing or damaged, a trained model."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import slapkit
from slapkit.audio.frontend import FRONTENDS, LogMel
from slapkit.errors import ConfigError
from slapkit.hub.doctor import examine
from slapkit.hub.export import ExportError, to_clap, to_hub_folder, to_onnx
from slapkit.models.encoders import AudioEncoderConfig, build_audio_encoder
from slapkit.models.encoders.musicnn import TAGS, MusicNN
from slapkit.models.encoders.musicnn_weights import PACKAGE, cache_file
from slapkit.models.inference import Model
from tests.models.musicnn.original import EVERY, REFERENCE, VGG, VGG_FRAMES, clips
from tests.training.tones import assert_equal, make_tones, run, tiny

FRONT = FRONTENDS["musicnn"]
PLAIN = {"kind": "musicnn", "frontend": FRONT, "window_s": 10.0, "frozen": True}
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def encoder() -> MusicNN:
    return MusicNN()


@pytest.fixture(scope="module")
def banded() -> MusicNN:
    """An encoder whose third network keeps bands apart."""
    return MusicNN(AudioEncoderConfig(**PLAIN, bands=True))


def noise(count: int, frames: int, seed: int = 0) -> torch.Tensor:
    """Log-mels (dB) of changing colour."""
    generator = torch.Generator().manual_seed(seed)
    colour = torch.randn(count, 1, 96, generator=generator).cumsum(2)
    return 12 * torch.randn(count, frames, 96, generator=generator) - 30 + 2 * colour


def differences(encoder: MusicNN, clip: str, mel: torch.Tensor) -> tuple[float, float]:
    """How far the tags of a clip are from the original's, and the pooled channels, as a share of the largest."""
    expected, h = json.loads(REFERENCE.read_text())[clip], encoder.raw(mel)
    tags, pooled = [], []
    for (name, found), half in zip(encoder.tags(h).items(), h.chunk(2, 1)):
        tags.append(np.abs(found[0].numpy() - expected[name]["tags"]).max())
        for channels, kind in zip(half[0].unflatten(0, (-1, 2))[::EVERY].T.numpy(), ("max", "mean")):
            pooled.append(np.abs(channels - expected[name][kind]).max() / np.abs(expected[name][kind]).max())
    return max(tags), max(pooled)


def test_tags_are_named_as_in_the_original():
    assert {name: list(tags) for name, tags in TAGS.items()} == json.loads(REFERENCE.read_text())["names"]


@pytest.mark.parametrize("clip", clips())
def test_tags_and_pooled_channels_are_the_originals(encoder, clip):
    transform, wave = LogMel(FRONT), torch.from_numpy(clips()[clip])[None]
    zeros = transform(torch.nn.functional.pad(wave, (512, 512)))[:, 2:-2]  # the padding of librosa
    tags, pooled = differences(encoder, clip, zeros)
    assert tags < 2e-5 and pooled < 2e-5
    # slapkit reflects the clip at its ends, which matters where they are loud.
    tags, pooled = differences(encoder, clip, transform(wave))
    assert tags < (0.1 if clip == "sweep" else 2e-5)


@pytest.mark.parametrize("clip", clips())
def test_channels_in_bands_are_the_originals(banded, clip):
    zeros = torch.nn.functional.pad(torch.from_numpy(clips()[clip])[None], (512, 512))
    mel = LogMel(FRONT)(zeros)[:, 2:-2][:, :VGG_FRAMES]
    expected = np.array(json.loads(REFERENCE.read_text())[clip][VGG])
    found = banded.raw(mel)[0, 3012::EVERY].numpy()
    assert found.shape == expected.shape and np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("frames", [626, 188, 33, 11, 10])
def test_the_fast_way_is_the_plain_convolutions(banded, frames):
    mel = noise(2, frames)
    plain = torch.cat([network(mel) for network in banded.networks.values()], 1)
    torch.testing.assert_close(banded.raw(mel), plain, rtol=1e-4, atol=1e-3)


def test_bands_come_after_what_there_is_without_them(encoder, banded):
    mel = noise(2, 188)
    assert torch.equal(banded.raw(mel)[:, :3012], encoder.raw(mel))
    assert torch.equal(banded.tags(banded.raw(mel))["MSD_musicnn"], encoder.tags(encoder.raw(mel))["MSD_musicnn"])
    config = AudioEncoderConfig(**PLAIN | {"frontend": FRONT.replace(pitches=True)}, bands=True)
    described = build_audio_encoder(config)
    assert described.dim == 3012 + 1536 + 604 == described.raw(torch.rand(1, 626, 164) - 40).shape[1]
    assert "bands" not in AudioEncoderConfig(**PLAIN).to_dict(), "encoders without them keep their names"
    assert AudioEncoderConfig.from_dict(config.to_dict()) == config


def test_any_other_device_convolves_plainly():
    elsewhere = MusicNN(AudioEncoderConfig(**PLAIN, bands=True), weights=False).to("meta")
    assert elsewhere._pooled(torch.empty(20, 188, 96, device="meta")).shape == (20, 4548)


@pytest.mark.parametrize("which", ["encoder", "banded"])
def test_one_alone_equals_one_in_a_batch_and_once_more(request, which):
    encoder = request.getfixturevalue(which)
    mel = torch.cat([noise(3, 188), torch.full((1, 188, 96), -100.0)])
    together = encoder.raw(mel)
    torch.testing.assert_close(together, torch.cat([encoder.raw(one) for one in mel.split(1)]), rtol=1e-5, atol=1e-5)
    assert torch.equal(encoder.raw(mel), together) and together.isfinite().all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.raw(mel), together)


def test_channels_are_standardised_by_what_is_given():
    encoder = MusicNN(weights=False)
    h = torch.randn(50, encoder.dim, generator=torch.Generator().manual_seed(0)) * 30 + 7
    h[:, 0] = 5.0  # a channel that is constant
    encoder.standardise_by(h)
    found = encoder.standardised(h)
    torch.testing.assert_close(found.mean(0), torch.zeros(encoder.dim), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.std(0, correction=0)[1:], torch.ones(encoder.dim - 1), rtol=0, atol=1e-4)
    assert not found[:, 0].any() and encoder.standardised(h + 1e6).max() == 6
    assert encoder.train() is encoder and not any(module.training for module in encoder.modules())
    with pytest.raises(ConfigError, match=r"\[W, 3012\]"):
        encoder.standardise_by(h[:0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frozen": False}, "frozen=False.*published"),
        ({"frontend": FRONT.replace(sample_rate=22050)}, "22050.*FRONTENDS"),
        ({"frontend": FRONTENDS["light"]}, "FRONTENDS"),
        ({"bands": True, "window_s": 0.1}, r"window_s=0\.1.*10 frames"),
        ({"bands": True, "kind": "cnn"}, "bands=True.*musicnn"),
        ({"frontend": FRONT.replace(min_s=3.0, pitches=True), "kind": "cnn"}, "pitches=True.*musicnn"),
    ],
)
def test_other_front_ends_and_training_are_refused(changes, words):
    given = {"kind": "musicnn", "frontend": FRONT.replace(min_s=3.0), "window_s": 3.0, "frozen": True}
    assert AudioEncoderConfig(**given).window_frames == 188
    with pytest.raises(ConfigError, match=words):
        AudioEncoderConfig(**given | changes)


# The weights


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_file()


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A copy of the package's files, found before the real one."""
    real = Path(next(iter(importlib.util.find_spec("musicnn").submodule_search_locations)))
    names = [path.relative_to(real) for path in real.glob("M*/.[id]*")]
    for name in names:
        (tmp_path / "own/musicnn" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real / name, tmp_path / "own/musicnn" / name)
    (tmp_path / "own/musicnn/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "own")
    return tmp_path / "own/musicnn"


@pytest.fixture
def no_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "musicnn", None)


def test_weights_are_kept_and_then_need_no_package(encoder, cache, monkeypatch):
    MusicNN()
    assert cache.is_file()
    monkeypatch.setitem(sys.modules, "musicnn", None)
    assert_equal(MusicNN().state_dict(), encoder.state_dict())


def test_a_missing_package_is_named_with_the_remedy(cache, no_package):
    with pytest.raises(ConfigError, match=f"not installed: pip install --no-deps .*{PACKAGE}"):
        MusicNN()


@pytest.mark.parametrize("name", ["MTT_musicnn/.index", "MSD_musicnn/.data-00000-of-00001", "MTT_vgg/.index"])
@pytest.mark.parametrize("damage", ["byte", "cut", "gone"])
def test_damaged_files_of_the_package_are_named_with_the_remedy(cache, package, name, damage):
    path = package / name
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "byte" else content[:-1])
    with pytest.raises(ConfigError, match=f"{name}.*pip install --no-deps"):
        MusicNN()
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["byte", "cut", "other"])
def test_a_damaged_cache_is_made_anew(encoder, cache, damage):
    MusicNN()
    good = cache.read_bytes()
    flipped = bytearray(good)
    flipped[-1000] ^= 1
    cache.write_bytes({"byte": flipped, "cut": good[:-1000], "other": b"{}"}[damage])
    assert_equal(MusicNN().state_dict(), encoder.state_dict())
    assert cache.read_bytes() == good


def test_a_cache_that_cannot_be_written_is_no_need(cache):
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder would be")
    MusicNN()


def test_set_up_installs_the_version_that_is_checked():
    assert PACKAGE in (ROOT / "constraints.txt").read_text().splitlines()
    assert "-c constraints.txt --no-deps musicnn" in (ROOT / "Makefile").read_text()
    assert PACKAGE in (ROOT / "docs" / "start.md").read_text() and PACKAGE in (ROOT / "environment.yml").read_text()


# A trained model


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("musicnn")
    audio = PLAIN | {"frontend": FRONT.replace(min_s=1.0).to_dict(), "window_s": 1.0, "bands": True}
    chosen = tiny({"steps": 4, "batch_size": 8}, {"audio": AudioEncoderConfig.from_dict(audio)})
    run(chosen, make_tones(folder / "tones", clips=24, seconds=1.0, rate=16000), folder / "run")
    return folder / "run"


def embeddings(model: Model) -> np.ndarray:
    waves = [wave[:32000] for wave in clips().values()]
    return np.concatenate([model.embed_audio(waves, sample_rate=16000), model.embed_text(["drums", "slow flute"])])


@pytest.mark.slow
def test_a_trained_model_needs_no_package(trained, cache, no_package, tmp_path):
    model = slapkit.load(trained, device="cpu")
    encoder = model.joint.audio.encoder
    assert encoder.h_std.ne(1).any() and not any(p.requires_grad for p in encoder.parameters())
    failed = {check.name for check in examine(trained, progress=False).checks if check.verdict == "fail"}
    assert failed <= {"trained weights"}  # four steps are few
    to_hub_folder(trained, tmp_path / "hub")
    np.testing.assert_allclose(embeddings(slapkit.load(tmp_path / "hub", device="cpu")), embeddings(model), atol=1e-6)


@pytest.mark.slow
def test_onnx_gives_the_same_and_clap_has_no_place_for_it(trained, tmp_path):
    model = slapkit.load(trained, device="cpu")
    to_onnx(model, tmp_path / "onnx", towers=["audio"])  # compares by itself
    assert json.loads((tmp_path / "onnx/export.json").read_text())["audio"]["frontend"]["n_mels"] == 96
    with pytest.raises(ExportError, match="audio encoder is 'musicnn'"):
        to_clap(model, tmp_path / "clap")
