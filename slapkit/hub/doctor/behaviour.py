"""Does an embedding depend on its own input alone, and does a small change of the input change it little?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from slapkit.hub.doctor.check import Check, judged, unknown
from slapkit.hub.doctor.probes import CAPTIONS
from slapkit.hub.doctor.subject import FEW, Subject

# Coordinates of unit-norm embeddings: a GPU in reduced precision stays below the first, no honest model passes the
# second.
_ROUNDING, _DIFFERENT = 1e-3, 1e-2
_SHIFT_S = 0.01
_FILE_RATE = 44100  # Hz
_RATES = (22050, 44100, 48000)  # Hz
_LONG = " ".join(CAPTIONS[:20])


def in_evaluation(subject: Subject) -> Check:
    """Is every layer in evaluation mode? Dropout and BatchNorm in training mode make embeddings depend on chance and
    company."""
    from torch import nn

    roots = [v for v in getattr(subject.model, "__dict__", {}).values() if isinstance(v, nn.Module)]
    roots += [subject.model] if isinstance(subject.model, nn.Module) else []
    if not roots:
        return unknown("evaluation mode", "the model shows no layers")
    awake = [
        name or "the model" for root in roots for name, m in root.named_modules() if m.training and _minds_the_mode(m)
    ]
    return judged(
        "evaluation mode",
        len(awake),
        warn=1,
        fail=1,
        words=f"in training mode: {', '.join(awake[:3])}{' and others' if len(awake) > 3 else ''} ({len(awake)} in all)"
        if awake
        else "dropout is off, and BatchNorm uses its running statistics",
        remedy="call .eval() on the model before embedding",
    )


def _minds_the_mode(module) -> bool:
    """Whether a layer does something else in training: it normalises by the batch, or drops something."""
    from torch.nn.modules.batchnorm import _NormBase

    drops = any("drop" in name for name in (type(module).__name__.lower(), *vars(module)))
    return isinstance(module, _NormBase) or drops


def repeatable(subject: Subject) -> Check:
    """Does the same batch give the same embeddings twice?"""
    some, captions = subject.waves[:FEW], CAPTIONS[:FEW]
    sound = _largest(subject.hear(some), subject.hear(some))
    caption = _largest(subject.read(captions), subject.read(captions))
    return _same(
        "repeatable", sound, caption, "embedded twice",
        "something random is at work: switch dropout off (.eval()) and seed whatever draws windows",
    )  # fmt: skip


def alone_or_in_company(subject: Subject) -> Check:
    """Is an embedding the same alone and in a batch?"""
    some = subject.waves[:FEW]
    alone = np.concatenate([subject.hear([wave]) for wave in some])
    sound = _largest(subject.heard[:FEW], alone)
    caption = _largest(subject.text[:FEW], np.concatenate([subject.read([c]) for c in CAPTIONS[:FEW]]))
    return _same(
        "alone or in a batch", sound, caption, "embedded alone and in a batch",
        "one input leaks into another: BatchNorm in training mode, or a normalisation across the batch",
    )  # fmt: skip


def any_order(subject: Subject) -> Check:
    """Is an embedding the same at any place of a batch?"""
    order = np.random.default_rng(subject.seed).permutation(len(subject.waves))
    sound = _largest(subject.heard[order], subject.hear([subject.waves[i] for i in order]))
    order = np.random.default_rng(subject.seed).permutation(2 * FEW)
    caption = _largest(subject.text[order], subject.read([CAPTIONS[i] for i in order]))
    return _same(
        "any order", sound, caption, "given in another order",
        "embeddings come back in another order than their inputs, or depend on their place: look for sorting that is "
        "not undone",
    )  # fmt: skip


def any_padding(subject: Subject) -> Check:
    """Is an embedding the same beside shorter and longer inputs?"""
    short = subject.waves[0][: len(subject.waves[0]) // 3]
    beside = subject.hear([short, *subject.waves[1:4]])[:1]
    sound = _largest(subject.hear([short]), beside)
    caption = _largest(subject.text[:3], subject.read([*CAPTIONS[:3], _LONG])[:3])
    return _same(
        "any padding", sound, caption, "given beside longer ones",
        "padding counts as content: check the attention mask of the text tower, and how short sounds are filled",
    )  # fmt: skip


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def _same(name: str, sound: float, caption: float, how: str, remedy: str) -> Check:
    """Return the check of two largest differences that should be rounding errors."""
    worst = float(np.maximum(sound, caption))  # NaN stays NaN, unlike with max()
    where = "captions" if caption > sound else "sounds"
    words = f"{how}, {where} differ by up to {worst:.1e} in a coordinate"
    return judged(name, worst, warn=_ROUNDING, fail=_DIFFERENT, words=words, remedy=remedy)


def edges(subject: Subject) -> Check:
    """Do extreme inputs have embeddings: finite, and of unit norm?"""
    rate, wave = subject.rate, subject.waves[0]
    sounds = {
        "silence": np.zeros(rate, dtype=np.float32),
        "a whisper of -80 dB": 1e-3 * wave,
        "a clipped sound": np.sign(wave),
        "20 ms of sound": wave[: rate // 50],
        "15 s of sound": np.concatenate([wave] * 3),
    }
    captions = {
        "one letter": "a",
        "a caption of 180 words": _LONG,
        "Chinese": "\u6162\u901f\u7684\u7b1b\u5b50\u72ec\u594f",
    }
    wrong = [what for what, sound in sounds.items() if not _usable(subject.hear([sound]))]
    wrong += [what for what, caption in captions.items() if not _usable(subject.read([caption]))]
    total = len(sounds) + len(captions)
    return judged(
        "extreme inputs", len(wrong), warn=1, fail=1,
        words=f"no usable embedding for {', '.join(wrong)}" if wrong
        else f"{total} extreme inputs, silence among them, have finite embeddings of unit norm",
        remedy="look for a division by a norm or a spread that can be zero",
    )  # fmt: skip


def _usable(embeddings: np.ndarray) -> bool:
    return bool(np.isfinite(embeddings).all() and np.allclose(np.linalg.norm(embeddings, axis=-1), 1, atol=1e-2))


def stable(subject: Subject) -> Check:
    """Does a sound that begins 10 ms later keep its embedding?"""
    late = [wave[round(_SHIFT_S * subject.rate) :] for wave in subject.waves]
    moved = np.linalg.norm(subject.heard - subject.hear(late), axis=1)
    share = float(moved.mean()) / subject.unlike
    return judged(
        "small shifts", share, warn=0.25, fail=0.5,
        words=f"sounds that begin 10 ms later move by {_percent(share)} of the distance between unlike sounds",
        remedy="embeddings hang on details that nobody hears: the weights may be untrained or damaged, or windows are "
        "drawn at random",
    )  # fmt: skip


def any_rate(subject: Subject) -> Check:
    """Does a sound have one embedding at 22,050, 44,100 and 48,000 Hz, as an array and as a file?"""
    heard = subject.heard[:FEW]
    moved = {}
    for rate in _RATES:
        waves = subject.waves_at(rate, FEW)
        moved[f"{rate:,} Hz"] = np.linalg.norm(heard - subject.hear(waves, rate), axis=1).mean()
        if rate == _FILE_RATE:
            moved[f"a file of {rate:,} Hz"] = np.linalg.norm(heard - _heard_from_files(subject, waves), axis=1).mean()
    worst = max(moved, key=lambda what: np.nan_to_num(moved[what], nan=np.inf))
    share = float(moved[worst]) / subject.unlike
    return judged(
        "any sampling rate", share, warn=0.04, fail=0.1,
        words=f"given at other sampling rates, sounds move by up to {_percent(share)} of the distance between unlike "
        f"sounds (most: {worst})",
        remedy="the rate of the sound is ignored or mistaken on the way in: check the resampling before the front end",
    )  # fmt: skip


def _heard_from_files(subject: Subject, waves: list[np.ndarray]) -> np.ndarray:
    """Embed sounds written to files, which say their rate themselves."""
    import soundfile

    with tempfile.TemporaryDirectory(prefix="slapkit-doctor-") as folder:
        paths = [Path(folder) / f"{number}.wav" for number in range(len(waves))]
        for path, wave in zip(paths, waves):
            soundfile.write(path, wave, _FILE_RATE, subtype="FLOAT")
        return np.asarray(subject.model.embed_audio(paths), dtype=np.float64)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
