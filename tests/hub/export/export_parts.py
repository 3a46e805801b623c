"""Models of all shapes that exports meet, and folders as runs leave them."""

import json
from pathlib import Path

import numpy as np
import torch

from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.inference import Model
from slapkit.models.joint import HeadConfig, JointModel
from slapkit.models.weights import save_model
from tests.hub.checkpoints.published_files import save_tokenizer
from tests.training.tones import tiny

HTSAT = {
    "spec_size": 128, "window_size": 4, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1],
    "num_attention_heads": [1, 2, 4],
}  # fmt: skip


def make_roberta(folder: Path) -> str:
    """Write a tiny RoBERTa with its pooler and tokenizer, as published."""
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

    tokenizer = RobertaTokenizer.from_pretrained(save_tokenizer(folder))
    torch.manual_seed(1)
    shape = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        max_position_embeddings=40, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    model = RobertaModel(shape)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def build(
    objective: str,
    audio: dict | AudioEncoderConfig,
    text: TextEncoderConfig,
    *,
    batch_norm: bool,
    text_projector: int = 32,
) -> Model:
    """Return a model with random weights and, in BatchNorm, statistics as training leaves them."""
    if isinstance(audio, dict):
        audio = {"window_s": 1.0, "frontend": {"min_s": 1.0}, "channels": (4, 8, 8)} | audio
    head = HeadConfig(hidden=32, batch_norm=batch_norm)
    heads = {"audio_projector": head, "text_projector": head.replace(hidden=text_projector), "predictor": head}
    chosen = tiny(model={"audio": audio, "text": text, **heads, "dim": 32})
    torch.manual_seed(0)
    joint = JointModel.build(chosen.model, objective)
    with torch.no_grad():
        for module in joint.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.7, 1.3)
                module.bias.normal_(0, 0.2)
    return Model(joint)


def sounds(count: int = 3, seconds: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [(0.2 * rng.standard_normal(round(24000 * seconds))).astype(np.float32) for _ in range(count)]


def save_run(model: Model, folder: Path, metrics: dict | None = None, **record) -> Path:
    """Write a model as the run of a notebook leaves it."""
    (folder / "checkpoint").mkdir(parents=True)
    save_model(model.joint, folder / "checkpoint", train={"steps": 7}, step=7)
    known = {"status": "done", "notebook": "02_train", "parameters": {"objective": model.joint.objective}}
    (folder / "run.json").write_text(json.dumps(known | record))
    (folder / "metrics.json").write_text(json.dumps(metrics or {}))
    return folder
