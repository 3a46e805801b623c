"""LAION-CLAP files: the embeddings of the ClapModel whose weights they hold, read off their shapes."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

import slapkit
from slapkit.cli import main
from slapkit.errors import CheckpointError
from slapkit.hub import load_joint, start_from, with_towers_of
from slapkit.hub.export import to_hub_folder
from tests.hub.checkpoints.published_files import CAPTIONS, laion_names, make_clap, save_tokenizer
from tests.search.library_parts import sound
from tests.training.tones import tiny

RATE = 48000
SIZE = {"spec_size": 128}  # 10 s at 48 kHz are 1,001 frames: 16 bands of them take a picture of 128 x 128


def filters(**changes):
    """The mel filters as librosa makes them, from transformers' code."""
    from transformers.audio_utils import mel_filter_bank

    settings = {
        "num_frequency_bins": 513, "num_mel_filters": 16, "min_frequency": 50, "max_frequency": 14000,
        "sampling_rate": RATE, "norm": "slaney", "mel_scale": "slaney",
    }  # fmt: skip
    return torch.from_numpy(mel_filter_bank(**settings | changes)).float()


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`{kind: (ClapModel, file)}`, with all that LAION's training code leaves in a file."""
    root, out = tmp_path_factory.mktemp("laion"), {}
    for kind, options in {"unfused": {}, "fused": {"fused": True}}.items():
        clap = make_clap(audio=SIZE, **options)
        weights = {f"module.{name}": tensor for name, tensor in laion_names(clap, mel=filters()).items()}
        optimizer = torch.optim.AdamW([weights["module.logit_scale_a"]])
        content = {"epoch": 15, "name": kind, "state_dict": weights, "optimizer": optimizer.state_dict()}
        torch.save(content | {"top": np.float64(0.9)}, root / f"{kind}.pt")
        out[kind] = clap, root / f"{kind}.pt"
    return out


@pytest.mark.parametrize(("kind", "truncation"), [("unfused", "rand_trunc"), ("fused", "fusion")])
def test_embeddings_are_those_of_the_weights(kind, truncation, made, words):
    from transformers import ClapFeatureExtractor, RobertaTokenizer

    clap, file = made[kind]
    rng = np.random.default_rng(0)
    waves = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (10 * RATE, 3 * RATE, 7 * RATE)]
    waves[1] += 0.3 * np.sin(np.arange(len(waves[1])) / 20).astype(np.float32)
    extractor = ClapFeatureExtractor(feature_size=16, frequency_min=50, truncation=truncation)
    tokenizer = RobertaTokenizer.from_pretrained(words)
    is_longer = torch.zeros(3, 1, dtype=torch.bool)
    with torch.no_grad():
        features = extractor(waves, sampling_rate=RATE, return_tensors="pt")["input_features"]
        audio = clap.get_audio_features(features, is_longer=is_longer).pooler_output.numpy()
        tokens = tokenizer(CAPTIONS, padding=True, return_tensors="pt")
        text = clap.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output.numpy()
    model = slapkit.load(file, tokenizer=words, device="cpu")
    np.testing.assert_allclose(model.embed_audio(waves, sample_rate=RATE), audio, atol=1e-4)
    np.testing.assert_allclose(model.embed_text(CAPTIONS), text, atol=1e-5)
    assert model.joint.log_scale.item() == pytest.approx(2.5)
    htsat = model.config.audio.htsat
    found = {name: htsat[name] for name in ("depths", "num_attention_heads", "window_size", "spec_size", "hidden_size")}
    assert found == {
        "depths": [2, 2, 1], "num_attention_heads": [1, 2, 4], "window_size": 2, "spec_size": 128, "hidden_size": 64,
    }  # fmt: skip
    assert htsat["enable_fusion"] == (kind == "fused") and model.config.text.max_tokens == 58


@pytest.mark.parametrize("prefix", ["", "model.", "_orig_mod.module."])
def test_weights_alone(prefix, made, words, tmp_path):
    """A bare `state_dict`, however it was wrapped, with its tokenizer in the folder beside it."""
    clap, file = made["unfused"]
    torch.save({prefix + name: tensor for name, tensor in laion_names(clap).items()}, tmp_path / "bare.pt")
    shutil.copytree(words, tmp_path / "tokenizer")
    wanted = slapkit.load(file, tokenizer=words, device="cpu").embed_text(CAPTIONS)
    np.testing.assert_array_equal(slapkit.load(tmp_path / "bare.pt", device="cpu").embed_text(CAPTIONS), wanted)


def test_an_export_names_no_place_of_this_machine(made, words, tmp_path):
    kept = to_hub_folder(made["unfused"][1], tmp_path / "kept", tokenizer=words)
    texts = "".join(path.read_text() for path in kept.rglob("*") if path.suffix in (".json", ".md"))
    assert str(made["unfused"][1].parent) not in texts and str(words) not in texts


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w: w.pop("audio_branch.norm.weight"), "audio.encoder.model.audio_encoder.norm"),
        (lambda w: w.pop("audio_branch.patch_embed.proj.weight"), "patch_embed.proj.weight"),
        (lambda w: w.update({"audio_branch.conv_block1.conv1.weight": torch.zeros(2)}), "conv_block1.conv1"),
        (lambda w: w.update({"text_branch.shared.weight": torch.zeros(2)}), "text.encoder.model.shared"),
        (lambda w: w.update({"text_projection.1.weight": torch.zeros(2)}), "text_projection.1.weight"),
        (lambda w: w.update({"audio_projection.0.weight": torch.zeros(24, 63)}), "audio.projector.0.weight"),
        (lambda w: w.update({"audio_branch.layers.0.blocks.0.attn.qkv.bias": torch.zeros(16)}), "attn.qkv.bias"),
        (lambda w: w.update({"audio_branch.layers.0.blocks.0.attn.qkv.bias": torch.tensor(1.0)}), "attn.qkv.bias"),
        (lambda w: w.update({"audio_branch.layers.99999999999.blocks.0.norm1.bias": torch.zeros(16)}), "layers.3"),
        (lambda w: w.update({"text_projection.2.bias": torch.tensor(1.0)}), "other.pt"),
        (lambda w: w.update({"logit_scale_a": torch.zeros(2)}), "log_scale"),
        (lambda w: w.update({"audio_branch.logmel_extractor.melW": filters(sampling_rate=32000)}), "front end"),
        (lambda w: w.update({"audio_branch.logmel_extractor.melW": filters(max_frequency=16000)}), "front end"),
        (lambda w: w.clear(), "other.pt"),
    ],
)  # fmt: skip
def test_other_models_are_refused(change, named, made, words, tmp_path):
    weights = laion_names(made["unfused"][0], mel=filters())
    change(weights)
    torch.save({"state_dict": weights}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=named):
        slapkit.load(tmp_path / "other.pt", tokenizer=words)


def test_the_tokenizer_must_be_the_models(made, words, tmp_path):
    file = made["unfused"][1]
    other = save_tokenizer(tmp_path / "large", words=500)
    # Without one the network is asked, which is closed in tests.
    for tokenizer, named in [
        (None, "roberta-base"), (tmp_path, "no vocab.json"), (tmp_path / "none", "is no folder"),
        (str(tmp_path), "no vocab.json"), (other, "500 tokens"),
    ]:  # fmt: skip
        with pytest.raises(CheckpointError, match=named):
            slapkit.load(file, tokenizer=tokenizer)


def test_a_smaller_tokenizer_is_warned_of(made, tmp_path, caplog):
    slapkit.load(made["unfused"][1], tokenizer=save_tokenizer(tmp_path / "small", words=300), device="cpu")
    assert "has 300 tokens, the model" in caplog.text


def test_a_folder_without_its_tokenizer_is_not_told_to_name_one(folders, tmp_path):
    folder = shutil.copytree(folders["unfused"][0], tmp_path / "clap")
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match="into it") as caught:
        slapkit.load(folder)
    assert "--tokenizer" not in str(caught.value)


def test_training_starts_from_a_file_with_its_tokenizer_elsewhere(made, words):
    file = made["unfused"][1]
    config = with_towers_of(tiny().model, file, tokenizer=words)
    started, there = start_from(config, "clap", file, tokenizer=words), load_joint(file, tokenizer=words)
    assert started.text.encoder.tokenizer.get_vocab() == there.text.encoder.tokenizer.get_vocab()
    assert "drawn anew: nothing" in started.start


@pytest.mark.slow
def test_every_command_that_takes_a_file_takes_its_tokenizer(made, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(made["unfused"][1], "clap.pt")
    (tmp_path / "music").mkdir()
    for i in range(3):
        soundfile.write(f"music/{i}.wav", sound(i), 24000)
    there = shutil.copytree(words, tmp_path / "words")
    for command in (
        "doctor clap.pt --quiet", "export clap.pt --to hub-folder --out whole",
        "embed clap.pt music --out music.parquet --quiet", "library music --model clap.pt --out library --quiet",
        "search library flute --model clap.pt",
    ):  # fmt: skip
        assert main(command.split()) == 1, command
        said = "".join("".join(capsys.readouterr()).split())
        assert "--tokenizerFOLDER" in said and "slapkitexport" in said, said
        done, printed = main([*command.split(), "--tokenizer", "words"]), capsys.readouterr().out
        # To the doctor, weights that nobody trained are broken ones, once they are open.
        assert done == 0 if not command.startswith("doctor") else "finite weights" in printed, command
    shutil.rmtree(there)
    assert main(["search", "library", "flute"]) == 0, "words are searched by a graph that has its own"
    wanted = slapkit.load("clap.pt", tokenizer=words, device="cpu").embed_text(CAPTIONS)
    np.testing.assert_allclose(slapkit.load("whole", device="cpu").embed_text(CAPTIONS), wanted, atol=1e-6)
    assert "Trained with slapkit" not in (tmp_path / "whole" / "README.md").read_text()


def test_files_of_other_kinds_are_refused(folders, tmp_path):
    with pytest.raises(CheckpointError, match="name its folder"):
        slapkit.load(folders["unfused"][0] / "model.safetensors")
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(CheckpointError, match="of another kind"):
        slapkit.load(tmp_path / "notes.txt")
