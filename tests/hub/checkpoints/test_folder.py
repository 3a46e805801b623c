"""Folders of transformers' ClapModel: the same embeddings as the original gives, and faults named."""

import json
import shutil
import struct

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import ClapModel

import slapkit
from slapkit.cli import main
from slapkit.errors import CheckpointError
from slapkit.hub.export import to_clap, to_hub_folder
from slapkit.search import Library
from tests.hub.checkpoints.published_files import CAPTIONS, RATE, make_clap, sounds

KINDS = ["unfused", "fused"]


def original(folder, clap, waves, captions):
    """What transformers gives with its own feature extractor and tokenizer, one input at a time."""
    from transformers import AutoTokenizer, ClapFeatureExtractor

    extractor, tokenizer = ClapFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    audio, text = [], []
    with torch.no_grad():
        for wave in waves:
            features = extractor(wave, sampling_rate=RATE, return_tensors="pt")
            is_longer = torch.zeros(1, 1, dtype=torch.bool)  # the extractor calls one short clip of a batch long
            audio.append(clap.get_audio_features(features["input_features"], is_longer=is_longer).pooler_output)
        for caption in captions:
            text.append(clap.get_text_features(**tokenizer(caption, return_tensors="pt")).pooler_output)
    return torch.cat(audio).numpy(), torch.cat(text).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_the_original(kind, folders):
    folder, clap = folders[kind]
    waves = sounds()
    audio, text = original(folder, clap, waves, CAPTIONS)
    assert np.abs(audio[0] - audio[1]).max() > 0.01 and np.abs(text[0] - text[1]).max() > 0.01  # or all would pass
    model = slapkit.load(folder, device="cpu")
    np.testing.assert_allclose(model.embed_audio(waves, sample_rate=RATE), audio, atol=1e-4)
    np.testing.assert_allclose(model.embed_text(CAPTIONS), text, atol=1e-5)
    assert not model.has_predictor and model.dim == 24
    np.testing.assert_array_equal(model.embed_text(CAPTIONS, embedding="z"), model.embed_text(CAPTIONS))


@pytest.mark.parametrize("kind", KINDS)
def test_exported_it_lives_without_its_folder(kind, folders, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(folders[kind][0], source)
    before = slapkit.load(source, device="cpu")
    waves = sounds(2)
    wanted = before.embed_audio(waves, sample_rate=RATE), before.embed_text(CAPTIONS)
    kept = to_hub_folder(source, tmp_path / "kept")
    shutil.rmtree(source)
    after = slapkit.load(kept, device="cpu")
    np.testing.assert_array_equal(after.embed_audio(waves, sample_rate=RATE), wanted[0])
    np.testing.assert_array_equal(after.embed_text(CAPTIONS), wanted[1])
    clap = ClapModel.from_pretrained(to_clap(after, tmp_path / "clap"))
    assert [clap.logit_scale_a.item(), clap.logit_scale_t.item()] == pytest.approx([2.5, 1.5])


def test_weights_as_torch_saves_them(folders, copied):
    folder, clap = folders["unfused"]
    (copied / "model.safetensors").unlink()
    torch.save(clap.state_dict(), copied / "pytorch_model.bin")
    found = slapkit.load(copied, device="cpu").embed_text(CAPTIONS)
    np.testing.assert_array_equal(found, slapkit.load(folder, device="cpu").embed_text(CAPTIONS))


@pytest.fixture
def copied(folders, tmp_path):
    """A copy of the unfused folder for a test to change."""
    return shutil.copytree(folders["unfused"][0], tmp_path / "copy")


CONFIG, EXTRACTOR = "config.json", "preprocessor_config.json"


@pytest.mark.parametrize(
    ("file", "keys", "value", "named"),
    [
        (CONFIG, ["model_type"], "bert", "'bert'"),
        (CONFIG, ["projection_hidden_act"], "gelu", "projection_hidden_act='gelu'"),
        (CONFIG, ["text_config", "num_hidden_layers"], 3, "text.encoder.model.encoder.layer.2"),
        (CONFIG, ["text_config", "hidden_size"], 10**9, "of another shape"),
        (CONFIG, ["text_config", "pad_token_id"], None, "pad_token_id=None"),
        (CONFIG, ["text_config", "num_hidden_layers"], 10**9, "1000000000"),
        (CONFIG, ["audio_config", "depths"], [2, 2, 10**7], "10000000"),
        (CONFIG, ["audio_config", "patch_embeds_hidden_size"], 32, "hidden_size=64"),
        (CONFIG, ["audio_config", "enable_fusion"], True, "missing"),
        (CONFIG, ["audio_config", "spec_size"], 32, "frames"),
        (EXTRACTOR, ["feature_size"], 32, "feature_size=32"),
        (EXTRACTOR, ["truncation"], "fusoin", "'fusoin'"),
        (EXTRACTOR, ["truncation"], ["fusion"], "'fusion'"),
        (EXTRACTOR, ["top_db"], 80, "top_db=80"),
        (EXTRACTOR, ["sampling_rate"], "8 kHz", "sample_rate='8 kHz'"),
    ],
)
def test_what_does_not_fit_is_named(file, keys, value, named, copied):
    content = json.loads((copied / file).read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (copied / file).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=named):
        slapkit.load(copied)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["preprocessor_config.json"], "processor_config.json"), (["vocab.json", "merges.txt"], "tokenizer"),
        (["config.json"], "config.json"), (["model.safetensors"], "pytorch_model.bin"),
    ],
)  # fmt: skip
def test_missing_parts_are_named(files, named, copied):
    for file in files:
        (copied / file).unlink()
    with pytest.raises(CheckpointError, match=named):
        slapkit.load(copied)


def test_another_tokenizer_is_refused(folders):
    with pytest.raises(CheckpointError, match="tokenizer='words'"):
        slapkit.load(folders["unfused"][0], tokenizer="words")


def test_a_damaged_index_is_refused(copied):
    """The table of relative positions is reached by an index kept in the file: a wrong one would reach out of it."""
    clap = make_clap()
    clap.audio_model.audio_encoder.layers[0].blocks[0].attention.self.relative_position_index += 10**6
    clap.save_pretrained(copied)
    with pytest.raises(CheckpointError, match="relative_position_index"):
        slapkit.load(copied)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 10_000_000_000) + b"{}",
        (lambda text: struct.pack("<Q", len(text)) + text)(
            b'{"a":{"dtype":"F32","shape":[2500000000],"data_offsets":[0,10000000000]}}'
        ),
    ],
)
def test_safetensors_that_claim_10_gb_are_refused(header, copied):
    (copied / "model.safetensors").write_bytes(header + bytes(64))
    with pytest.raises(CheckpointError, match="model.safetensors"):
        slapkit.load(copied)


def test_only_names_are_looked_up(tmp_path, monkeypatch):
    asked = []

    def download(name, **_):
        asked.append(name)
        raise OSError("the network is unreachable\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for path in ("runs/missing", "a/b/c", "missing", tmp_path / "missing", "../x/y"):
        with pytest.raises(CheckpointError, match=str(path)):
            slapkit.load(path)
    assert asked == []
    with pytest.raises(CheckpointError, match="'someone/clap'.*OSError: the network is unreachable"):
        slapkit.load("someone/clap")
    assert asked == ["someone/clap"]


def test_a_name_gives_what_its_folder_gives(folders, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(folders["unfused"][0]))
    model = slapkit.load("someone/clap", device="cpu")
    assert model.config.text.source == "someone/clap"
    wanted = slapkit.load(folders["unfused"][0], device="cpu").embed_text(CAPTIONS)
    np.testing.assert_array_equal(model.embed_text(CAPTIONS), wanted)
    assert main(["export", "someone/clap", "--to", "hub-folder", "--out", "whole", "--quiet"]) == 0
    np.testing.assert_array_equal(slapkit.load("whole", device="cpu").embed_text(CAPTIONS), wanted)
    (tmp_path / "music").mkdir()
    Library.build("music", "someone/clap", out="library", progress=False)
    np.testing.assert_allclose(Library.open("library", progress=False).embed_text(CAPTIONS[0]), wanted[0], atol=1e-6)
