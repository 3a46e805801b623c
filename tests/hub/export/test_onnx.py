"""ONNX graphs of both towers give what the towers give, on batches of any size, or are not written."""

import json

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import FrontendConfig, make_transform
from slapkit.hub.export import ExportError, to_onnx
from slapkit.hub.export import onnx as onnx_module
from slapkit.models.encoders import TextEncoderConfig, waveform_encoder
from tests.hub.export.export_parts import build, sounds
from tests.models.waveform.wave_folders import write

CAPTIONS = ["drums", "a slow waltz for two flutes", "music " * 50, "x", "long chord"]


def session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def check_audio(folder, model, waves: list[np.ndarray], rate: int, features: np.ndarray) -> None:
    graph = session(folder / "audio.onnx")
    assert [axis for axis in graph.get_inputs()[0].shape][0] == "batch"
    names = [output.name for output in graph.get_outputs()]
    assert names == (["z", "q"] if model.has_predictor else ["z"])
    for batch in (slice(0, 1), slice(0, 4), slice(0, len(waves))):
        for name, found in zip(names, graph.run(None, {"features": features[batch]}), strict=True):
            expected = model.embed_audio(waves[batch], sample_rate=rate, embedding=name)
            np.testing.assert_allclose(found, expected, atol=1e-4)


def check_text(folder, model) -> None:
    from transformers import AutoTokenizer

    graph, tokenizer = session(folder / "text.onnx"), AutoTokenizer.from_pretrained(folder / "tokenizer")
    most = json.loads((folder / "export.json").read_text())["text"]["max_tokens"]
    for batch in (CAPTIONS, CAPTIONS[:1], CAPTIONS[3:]):
        tokens = tokenizer(batch, padding=True, truncation=True, max_length=most, return_tensors="np")
        inputs = {name: tokens[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
        for name, found in zip(["z", "q"], graph.run(None, inputs)):
            np.testing.assert_allclose(found, model.embed_text(batch, embedding=name), atol=1e-4)


def test_the_audio_tower_by_what_stands_in_its_description(text, tmp_path):
    model = build("slap", {}, text, batch_norm=True)
    to_onnx(model, tmp_path / "out", towers=["audio"], card="# A card\n")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"audio.onnx", "export.json", "README.md"}
    content = json.loads((tmp_path / "out" / "export.json").read_text())
    assert content["outputs"] == ["z", "q"] and content["largest_difference"] <= 1e-4
    assert content["audio"]["features"] == ["batch", 51, 64]
    front, waves = make_transform(FrontendConfig.from_dict(content["audio"]["frontend"])), sounds(7)
    check_audio(tmp_path / "out", model, waves, 24000, front(torch.from_numpy(np.stack(waves))).numpy())


@pytest.mark.slow
def test_the_text_tower_with_minilm(tmp_path):
    model = build("slap", {}, TextEncoderConfig(), batch_norm=True)
    to_onnx(model, tmp_path / "out", towers=["text"])
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"text.onnx", "export.json", "tokenizer"}
    check_text(tmp_path / "out", model)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "layer"), [("wav2vec2", 1), ("ast", None)])
def test_encoders_of_waves(text, tmp_path, kind, layer):
    folder = str(write(tmp_path / kind, kind))
    model = build("slap", waveform_encoder(folder, window_s=0.6, layer=layer), text, batch_norm=False)
    to_onnx(model, tmp_path / "out", towers=["audio"])
    rate = model.config.audio.frontend.sample_rate
    rng = np.random.default_rng(0)
    waves = [(0.2 * rng.standard_normal(round(0.6 * rate))).astype(np.float32) for _ in range(7)]
    if kind == "wav2vec2":
        features = np.stack(waves).reshape(7, 30, -1)
    else:
        from transformers import AutoFeatureExtractor

        extractor = AutoFeatureExtractor.from_pretrained(folder)
        features = extractor(waves, sampling_rate=rate, return_tensors="np")[extractor.model_input_names[0]]
    check_audio(tmp_path / "out", model, waves, rate, features.astype(np.float32))


@pytest.mark.parametrize("tower", ["audio", pytest.param("text", marks=pytest.mark.slow)])
def test_a_graph_that_differs_is_not_written(text, tmp_path, monkeypatch, tower):
    embeddings = onnx_module._embeddings

    def drifting(joint, h, modality):  # the traced pass gives something else than the model
        return tuple(x + 0.01 * (modality == tower) for x in embeddings(joint, h, modality))

    monkeypatch.setattr(onnx_module, "_embeddings", drifting)
    with pytest.raises(ExportError, match=f"{tower} tower differs"):
        to_onnx(build("clap", {}, text, batch_norm=False), tmp_path / "out", towers=[tower])
    assert not list(tmp_path.iterdir())
