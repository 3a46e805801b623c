"""What a model said of the probes when it was saved, kept in `config.json`: a later change of anything shows.

Kept are, for eight probe sounds and eight captions, the first coordinates of their embeddings, and for the front end
the mean of each mel band: under 4 kB. The comparison names what changed: the front end, the audio or the text tower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slapkit.hub.doctor.check import Check, judged, unknown
from slapkit.hub.doctor.subject import Subject
from slapkit.models.signature import SIGNATURE_FORMAT, signature_of

NAMES = {"frontend": "front end as saved", "audio": "audio tower as saved", "text": "text tower as saved"}
_REMEDIES = {
    "frontend": "the features are not those of the training: mel scale, norm, rate or hop in config.json were changed, "
    "or the front end's code was",
    "audio": "the audio weights, or the features before them, are not those that were saved: load the checkpoint again",
    "text": "the text weights or the tokenizer are not those that were saved: load the checkpoint again, and check the "
    "text model's version",
}


def as_saved(subject: Subject) -> list[Check]:
    """Do front end and towers still give what they gave when the model was saved?"""
    saved = subject.signature
    if not isinstance(saved, Mapping) or saved.get("format") != SIGNATURE_FORMAT:
        why = "the checkpoint keeps no signature: it was saved by an older version, or only a loaded model was given"
        return [unknown(name, why) for name in NAMES.values()]
    now = signature_of(subject.joint) or {}
    return [_compared(name, saved.get(name), now.get(name)) for name in NAMES]


def _compared(part: str, saved: Any, now: np.ndarray | None) -> Check:
    """Return the check of one part of the signature."""
    name = NAMES[part]
    try:
        before = np.asarray(saved, dtype=np.float64)
        now = None if now is None else np.asarray(now)
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
