"""What a model said of the probes when it was saved, kept in `config.json`: a later change of anything shows.

Kept are, for eight probe sounds and eight captions, the first coordinates of their embeddings, and for the front end
the mean of each mel band: under 4 kB. The comparison names what changed: the front end, the audio or the text tower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slapkit.errors import SlapkitError
from slapkit.hub.doctor import probes
from slapkit.hub.doctor.check import Check, judged, unknown
from slapkit.hub.doctor.frontend import is_log_mel
from slapkit.hub.doctor.subject import FEW, Subject

_FORMAT = 1
_WIDTH = 16  # coordinates kept of each embedding
NAMES = {"frontend": "front end as saved", "audio": "audio tower as saved", "text": "text tower as saved"}
_REMEDIES = {
    "frontend": "the features are not those of the training: mel scale, norm, rate or hop in config.json were changed, "
    "or the front end's code was",
    "audio": "the audio weights, or the features before them, are not those that were saved: load the checkpoint again",
    "text": "the text weights or the tokenizer are not those that were saved: load the checkpoint again, and check the "
    "text model's version",
}


def signature_of(joint) -> dict[str, Any] | None:
    """Return the signature of a `JointModel` as JSON values; None where the probes have no finite embeddings.

    The model is left as it was found. It must not keep a trained model from being saved, so what its encoders raise on
    the probes counts as having no signature.
    """
    from slapkit.models.inference import Model

    modes = {module: module.training for module in joint.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in joint.parameters()}
    try:
        values = _measured(Subject(Model(joint, device=next(joint.parameters()).device)))
    except (SlapkitError, RuntimeError, ValueError, TypeError):
        return None
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, gradient in wanted.items():
            parameter.requires_grad_(gradient)
    if not all(np.isfinite(value).all() for value in values.values()):
        return None
    return {"format": _FORMAT} | {name: np.round(value, 5).tolist() for name, value in values.items()}


def as_saved(subject: Subject) -> list[Check]:
    """Do front end and towers still give what they gave when the model was saved?"""
    saved = subject.signature
    if not isinstance(saved, Mapping) or saved.get("format") != _FORMAT:
        why = "the checkpoint keeps no signature: it was saved by an older version, or only a loaded model was given"
        return [unknown(name, why) for name in NAMES.values()]
    now = _measured(subject)
    return [_compared(name, saved.get(name), now.get(name)) for name in NAMES]


def _measured(subject: Subject) -> dict[str, np.ndarray]:
    """Return the figures that a signature keeps; those of the front end only where there is one."""
    import torch

    rate = subject.rate
    waves = probes.sounds(rate, band=probes.band_of(rate), count=FEW)  # of seed 0, whatever the subject's
    values = {
        "audio": subject.hear(waves)[:, :_WIDTH],
        "text": subject.read(probes.CAPTIONS[:FEW])[:, :_WIDTH],
    }
    log_mel = getattr(subject.model, "log_mel", None)
    if log_mel is not None and is_log_mel(subject.frontend):
        mel = log_mel(torch.from_numpy(np.stack(waves)).to(subject.device))
        values["frontend"] = mel.double().mean(dim=(0, 1)).cpu().numpy()
    return values


def _compared(part: str, saved: Any, now: np.ndarray | None) -> Check:
    """Return the check of one part of the signature."""
    name = NAMES[part]
    try:
        before = np.asarray(saved, dtype=np.float64)
    except (TypeError, ValueError):
        before = np.full((), np.nan)
    if now is None or not np.isfinite(before).all():
        return unknown(name, "the signature holds nothing to compare with")
    if before.shape != now.shape:
        words = f"{list(now.shape)} figures, where {list(before.shape)} were saved"
        return judged(name, np.inf, warn=0.0, fail=0.0, words=words, remedy=_REMEDIES[part])
    if part == "frontend":
        apart = float(np.abs(now - before).max())
        words = f"mel bands differ by up to {apart:.1e} dB from those at saving"
        return judged(name, apart, warn=0.05, fail=0.5, words=words, remedy=_REMEDIES[part])
    # By the distance between unlike inputs, which is the yardstick for any difference.
    unlike = np.linalg.norm(before[:, None] - before[None], axis=-1).sum() / (len(before) * (len(before) - 1))
    apart = float(np.linalg.norm(now - before, axis=1).max() / max(unlike, 1e-6))
    words = f"embeddings differ from those at saving by up to {100 * apart:.2f} % of the distance between unlike ones"
    return judged(name, apart, warn=0.03, fail=0.1, words=words, remedy=_REMEDIES[part])
