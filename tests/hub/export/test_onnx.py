"""ONNX graphs of both towers give what the towers give, on batches of any size, or are not written; with the card's
code, a stranger gets the same from a sound."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from slapkit.hub.export import ExportError, model_card, to_onnx
from slapkit.hub.export import onnx as onnx_module
from slapkit.models.encoders import TextEncoderConfig, waveform_encoder
from slapkit.presets import preset
from tests.hub.export.export_parts import build
from tests.models.waveform.wave_folders import write

CAPTIONS = ["drums", "a slow waltz for two flutes", "music " * 50, "x", "long chord"]


def session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def check_audio(folder, model, waves: list[np.ndarray], rate: int, features: np.ndarray) -> None:
    graph = session(folder / "audio.onnx")
    assert graph.get_inputs()[0].shape[0] == "batch"
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


# What a stranger runs in the folder: the card's code, where neither torch nor slapkit can be imported.
STRANGER = """
import sys
sys.modules.update(dict.fromkeys(["torch", "transformers", "slapkit", "scipy", "librosa"]))
{code}
with np.load("waves.npz") as waves:
    np.savez("found.npz", audio=[embed_audio(waves[name]) for name in waves], text=[embed_text(t) for t in {captions}])
"""
LENGTHS_S = (0.3, 1.0, 2.7)  # of windows


@pytest.mark.parametrize(
    "name", ["own", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fused", "tiny", "pretrained"))]
)
def test_a_stranger_embeds_by_the_code_of_the_card(text, clap_like, tmp_path, name):
    if name == "own":
        model = build("slap", {}, text, batch_norm=True)
    elif name == "fused":  # as LAION's files are: zeros after whole repetitions
        front = {"min_s": 1.0, "mel_scale": "htk", "norm": "none", "padding": "repeatpad"}
        model = clap_like("clap", False, frontend=front)
    else:
        chosen = preset(name).model
        model = build("slap", chosen.audio, chosen.text, batch_norm=True)
    folder = to_onnx(model, tmp_path / "out", card=model_card(model, form="onnx"))
    about = json.loads((folder / "export.json").read_text())
    rate, window_s = about["audio"]["frontend"]["sample_rate"], about["audio"]["window_s"]
    rng = np.random.default_rng(0)
    noises = [rng.standard_normal(round(s * window_s * rate)) for s in LENGTHS_S]
    waves = [noises[0], np.cumsum(noises[1]), noises[2] * np.geomspace(1, 1e-3, len(noises[2]))]
    waves = [(wave / np.abs(wave).max()).astype(np.float32) for wave in waves]
    np.savez(folder / "waves.npz", *waves)
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    command = [sys.executable, "-c", STRANGER.format(code=code, captions=CAPTIONS)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = model.embed_audio(waves, sample_rate=rate)
    small = min(1e-4, 0.01 * np.ptp(wanted, axis=0).max())  # what tells these sounds apart is a hundred times greater
    with np.load(folder / "found.npz") as found:
        np.testing.assert_allclose(found["audio"], wanted, atol=small)
        np.testing.assert_allclose(found["text"], model.embed_text(CAPTIONS), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [(-1,), (3, -1)])
def test_the_text_tower_with_minilm(tmp_path, layers):
    model = build("slap", {}, TextEncoderConfig(layers=layers), batch_norm=True)
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
