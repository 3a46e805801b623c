"""Models on disk: what is saved belongs together, whatever was there before."""

import torch

from slapkit.hub.load import load_joint
from slapkit.models.encoders import TextEncoderConfig
from slapkit.models.joint import JointModel
from slapkit.models.weights import save_model
from slapkit.presets import preset


def model(text: TextEncoderConfig, captions=()) -> JointModel:
    torch.manual_seed(0)
    config = preset("tiny", model={"audio": {"channels": (4, 8)}}).model.replace(text=text)
    return JointModel.build(config, "slap", captions=captions).eval()


def test_a_model_replaces_another_with_its_tokenizer(narrow_roberta, tmp_path):
    scratch = TextEncoderConfig(source="roberta-scratch", frozen=False)
    first, second = (model(scratch, [caption] * 3) for caption in ("a slow waltz", "fast loud drums"))
    save_model(first, tmp_path, train={}, step=1)
    save_model(second, tmp_path, train={}, step=2)
    loaded = load_joint(tmp_path).text.encoder
    words = ["fast loud drums and a slow waltz"]
    assert torch.equal(loaded.tokenize(words)["input_ids"], second.text.encoder.tokenize(words)["input_ids"])
    assert not torch.equal(loaded.tokenize(words)["input_ids"], first.text.encoder.tokenize(words)["input_ids"])
    save_model(model(TextEncoderConfig()), tmp_path, train={}, step=3)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
