"""A model as a folder that transformers' `ClapModel`, its feature extractor and its tokenizer load.

`ClapModel` is HTS-AT, RoBERTa with its pooler, and two projections of two layers as wide as the embeddings. A model of
these parts fits. BatchNorm in a projector is folded into the layer before it. `ClapModel` has no predictors: it gives
the projection z, for SLAP too.
"""

import copy
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slapkit._io import atomic_write_text, staged_folder
from slapkit.hub.export.folder import ExportError, require_same
from slapkit.hub.published import PREFIXES
from slapkit.hub.transformers_clap import FRONTEND, SCALES
from slapkit.models.inference import Model
from slapkit.models.joint import HeadConfig

_TEXT_TYPES = ("roberta", "clap_text_model")


def to_clap(model: Model, out: str | Path, *, card: str | None = None) -> Path:
    """Write `model` into the new folder `out`, compare what transformers makes of it, and return `out`.

    `card` is the text of a README.md, see `model_card`.

    Raises:
        ExportError: a part of the model has no place in `ClapModel` (all such parts are named), or the result differs.
        ConfigError: `out` is there already.
    """
    from transformers import ClapModel, ClapProcessor

    if reasons := unfit(model):
        raise ExportError(f"transformers' ClapModel has no place for this model: {'; '.join(reasons)}")
    clap = ClapModel(_clap_config(model)).eval()
    _fill(clap, model)
    extractor, tokenizer = _feature_extractor(model), copy.deepcopy(model.joint.text.encoder.tokenizer)
    tokenizer.model_max_length = model.config.text.max_tokens  # so that it cuts where the model does
    with staged_folder(out) as folder:
        clap.save_pretrained(folder)
        ClapProcessor(extractor, tokenizer).save_pretrained(folder)
        extractor.save_pretrained(folder)  # under the name that versions before the fifth look for
        if card is not None:
            atomic_write_text(folder / "README.md", card)
        _compare(folder, model)
    return Path(out)


def unfit(model: Model) -> list[str]:
    """Return in words which parts of a model have no place in `ClapModel`; none where it fits."""
    config = model.config
    audio, text, front = config.audio, config.text, config.audio.frontend
    found = []
    if audio.kind != "htsat":
        found.append(f"its audio encoder is {audio.kind!r}, not HTS-AT")
    elif (_truncation(model) or "") not in SCALES:
        found.append(f"its mel bands ({front.mel_scale}, norm {front.norm}) are none of CLAP's feature extractor")
    if audio.window_s != int(audio.window_s):
        found.append(f"its window of {audio.window_s} s is no whole number of seconds")
    if front.min_s != audio.window_s:
        found.append(f"it repeats short clips up to {front.min_s} s, not up to its window of {audio.window_s} s")
    kind = getattr(model.joint.text.encoder.model.config, "model_type", "unknown")
    if kind not in _TEXT_TYPES:
        found.append(f"its text encoder is {kind!r}, not RoBERTa")
    if text.pooling != "pooler":
        found.append(f"its text encoder is pooled by {text.pooling!r}, not by RoBERTa's pooler (pooling='pooler')")
    for name in ("audio_projector", "text_projector"):
        if (hidden := getattr(config, name).hidden) != config.dim:
            has = f"a hidden layer of {hidden}" if hidden else "no hidden layer"
            found.append(f"its {name} has {has}, and not one as wide as the embeddings ({config.dim})")
    return found


def _truncation(model: Model) -> str | None:
    """Return the truncation by which CLAP's feature extractor has the model's mel bands, None where it has not."""
    front = model.config.audio.frontend
    bands = {"mel_scale": front.mel_scale, "norm": front.norm}
    name = next((name for name, scale in SCALES.items() if scale == bands), None)
    fused = model.config.audio.htsat.get("enable_fusion", False)
    return name if (name == "fusion") == fused else None  # the extractor gives four channels where it fuses


def _clap_config(model: Model):
    from transformers import ClapConfig, ClapTextConfig

    theirs, ours = ClapTextConfig().to_dict(), model.joint.text.encoder.model.config.to_dict()
    shared = {key: ours[key] for key in theirs if key in ours and key not in ("model_type", "architectures")}
    scale = getattr(model.joint, "log_scale", None)
    return ClapConfig(
        text_config=shared,
        audio_config=model.joint.audio.encoder.model.config.to_dict(),
        projection_dim=model.config.dim,
        logit_scale_init_value=1 / 0.07 if scale is None else math.exp(scale.item()),
    )


def _fill(clap: nn.Module, model: Model) -> None:
    """Copy the weights, each into its place, and see that none is left over."""
    ours = {name: t for name, t in model.joint.state_dict().items() if not name.startswith("target_")}
    for modality in ("audio", "text"):
        projector, head = getattr(model.joint, modality).projector, getattr(model.config, f"{modality}_projector")
        prefix = f"{modality}.projector."
        ours = {name: tensor for name, tensor in ours.items() if not name.startswith(prefix)}
        ours |= {prefix + name: tensor for name, tensor in _folded(projector, head).items()}
    state: dict[str, Tensor] = {}
    for theirs, prefix in PREFIXES.items():
        state |= {theirs + n.removeprefix(prefix): t for n, t in ours.items() if n.startswith(prefix)}
    wanted = clap.state_dict()
    # The temperatures come with the configuration; positions and token types are counts and zeros.
    derived = {n for n in wanted if n.startswith("logit_scale") or n.endswith(("position_ids", "token_type_ids"))}
    missing, unknown = sorted(wanted.keys() - state.keys() - derived), sorted(state.keys() - wanted.keys())
    if missing or unknown:
        raise ExportError(
            f"{len(missing)} tensors of ClapModel stay empty and {len(unknown)} of the model have no place, e.g. "
            f"{', '.join([*missing[:2], *unknown[:2]])}: its encoders are not those of CLAP"
        )
    clap.load_state_dict({name: wanted[name] for name in derived} | {n: t.cpu() for n, t in state.items()})
    if model.joint.log_scale_text is not None:  # else the same for both directions
        nn.init.constant_(clap.logit_scale_t, model.joint.log_scale_text)


def _folded(projector: nn.Sequential, head: HeadConfig) -> dict[str, Tensor]:
    """Return a projector's weights as those of layer, ReLU and layer (0 and 2), BatchNorm inside the first."""
    first, last = projector[0], projector[-1]
    weight, bias = first.weight, first.bias
    if head.batch_norm:
        norm = projector[1]
        factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = (first.weight.double() * factor[:, None]).float()
        bias = (norm.bias.double() - norm.running_mean.double() * factor).float()
    return {"0.weight": weight, "0.bias": bias, "2.weight": last.weight, "2.bias": last.bias}


def _feature_extractor(model: Model):
    from transformers import ClapFeatureExtractor

    values = {theirs: getattr(model.config.audio.frontend, ours) for theirs, ours in FRONTEND.items()}
    values["max_length_s"] = int(model.config.audio.window_s)
    return ClapFeatureExtractor(**values, truncation=_truncation(model))


def _compare(folder: Path, model: Model) -> None:
    """Raise `ExportError` unless transformers makes of `folder` what the model is."""
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    clap = ClapModel.from_pretrained(folder, dtype=torch.float32).eval()
    extractor, tokenizer = ClapFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def audio(sounds: list[np.ndarray]) -> dict[str, np.ndarray]:
        features = extractor(sounds, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_features"]
        return {"z": _unit(clap.get_audio_features(features, is_longer=torch.zeros(len(sounds), 1, dtype=torch.bool)))}

    def text(captions: list[str]) -> dict[str, np.ndarray]:
        tokens = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
        return {"z": _unit(clap.get_text_features(tokens["input_ids"], attention_mask=tokens["attention_mask"]))}

    with torch.no_grad():
        require_same(model, audio=audio, text=text)


def _unit(out) -> np.ndarray:
    """Return the features that `ClapModel` gives, of unit norm."""
    return nn.functional.normalize(out.pooler_output, dim=-1).numpy()
