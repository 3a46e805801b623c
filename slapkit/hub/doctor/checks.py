"""The checks: each measures one figure of a model, which warns or fails beyond a limit.

A check returns its figure and what was found, in words; it raises `Unknown` where nothing can be measured.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from slapkit.hub.doctor.subject import CAPTIONS, FEW, Subject, finite, mean_distance
from slapkit.metrics import effective_rank
from slapkit.models.signature import SIGNATURE_FORMAT

_LONG = " ".join(CAPTIONS)
_FILE_RATE = 44100  # Hz
_RATES = (22050, 44100, 48000)  # Hz
_MATRIX = (16, 1024)  # rows and columns: chance rules smaller matrices, and of larger ones this part is enough
_PERMUTATIONS = 1999

Measure = Callable[[Subject], tuple[float, str]]


class Unknown(Exception):
    """A check that cannot be made, and why."""


# The weights alone


def _joint(subject: Subject) -> nn.Module:
    if subject.joint is None:
        raise Unknown("the weights of a model of another make are not looked at")
    return subject.joint


def finite_weights(subject: Subject) -> tuple[float, str]:
    """Number of tensors with NaN or infinity."""
    state = {n: t for n, t in _joint(subject).state_dict().items() if t.is_floating_point()}
    bad = [n for n, t in state.items() if not bool(torch.isfinite(t).all())]
    if not bad:
        return 0, f"all {len(state)} tensors are finite"
    return len(bad), f"{len(bad)} of {len(state)} tensors hold NaN or infinity, e.g. {bad[0]}"


def trained_weights(subject: Subject) -> tuple[float, str]:
    """Largest singular value of a tower's matrices, by that of the same entries shuffled; of the weaker tower.

    Shape and standard deviation fix the largest singular value of a matrix of independent entries. Learning adds a few
    strong directions.
    """
    joint = _joint(subject)
    ratios = {name: _singular_ratios(getattr(joint, name)) for name in ("audio", "text")}
    strongest = {name: max(found) for name, found in ratios.items() if found}
    if not strongest:
        raise Unknown("no weight matrix is large enough to show more than chance")
    weakest = min(strongest, key=strongest.__getitem__)
    ratio = strongest[weakest]
    return ratio, f"the {weakest} tower's strongest direction is {ratio:.2f} times that of the same entries shuffled"


def _singular_ratios(tower: nn.Module) -> list[float]:
    least, most = _MATRIX
    ratios = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, parameter in tower.named_parameters():
            if parameter.dim() < 2 or (tower.frozen and name.startswith("encoder.")):
                continue
            matrix = parameter.detach().float().cpu().flatten(1)[:most, :most]
            if min(matrix.shape) < least or not bool(torch.isfinite(matrix).all()):
                continue
            matrix = matrix - matrix.mean()
            shuffled = [matrix.flatten()[torch.randperm(matrix.numel())].view_as(matrix) for _ in range(5)]
            largest, *by_chance = (float(torch.svd_lowrank(m, q=6, niter=10)[1][0]) for m in (matrix, *shuffled))
            ratios.append(largest / max(by_chance) if max(by_chance) > 0 else 0.0)
    return ratios


def text_encoder(subject: Subject) -> tuple[float, str]:
    """Whether a frozen text encoder, kept by reference, is another one than in training."""
    wanted = None if subject.joint is None else subject.joint.config.text.fingerprint
    if wanted is None or not subject.joint.text.frozen:
        raise Unknown("only a frozen text encoder of a saved model has a fingerprint to compare with")
    found = subject.joint.text.encoder.fingerprint()
    return float(found != wanted), f"{subject.joint.config.text.source} is {found}; trained with {wanted}"


def evaluation_mode(subject: Subject) -> tuple[float, str]:
    """Number of layers of dropout or normalisation in training mode."""
    roots = [v for v in (subject.model, *getattr(subject.model, "__dict__", {}).values()) if isinstance(v, nn.Module)]
    if not roots:
        raise Unknown("the model shows no layers")
    awake = [
        name or "the model"
        for root in roots
        for name, m in root.named_modules()
        if m.training and (isinstance(m, _NormBase) or any("drop" in n for n in (type(m).__name__.lower(), *vars(m))))
    ]
    if not awake:
        return 0, "dropout is off, and BatchNorm uses its running statistics"
    return len(awake), f"{len(awake)} layers are in training mode, e.g. {', '.join(awake[:3])}"


# The front end


def feature_level(subject: Subject) -> tuple[float, str]:
    """Difference of the features' mean from that in training, in standard deviations."""
    audio = subject.config
    if getattr(audio, "kind", None) != "cnn" or not hasattr(subject.model, "log_mel"):
        raise Unknown("only our CNN keeps mean and standard deviation of its training data's features")
    if subject.sounds is None:
        raise Unknown("needs sounds like those of the training: give a data set")
    device = getattr(subject.model, "device", "cpu")
    with torch.no_grad():
        features = [subject.model.log_mel(torch.from_numpy(x)[None].to(device))[0].cpu() for x in subject.sounds]
    mel = torch.cat(features).double()
    words = f"mean {mel.mean():.1f}, std {mel.std():.1f} dB; in training {audio.mel_mean:.1f}, {audio.mel_std:.1f} dB"
    return abs(float(mel.mean()) - audio.mel_mean) / audio.mel_std, words


# The embeddings' own properties


def finite_embeddings(subject: Subject) -> tuple[float, str]:
    """Largest deviation of a norm from 1."""
    off = max(float(np.abs(np.linalg.norm(x, axis=1) - 1).max()) for x in (subject.audio, subject.text))
    return off, f"all are finite, and norms differ from 1 by up to {off:.1e}"


def frontend_as_saved(subject: Subject) -> tuple[float, str]:
    """Largest difference of a mel band's mean, in dB."""
    before, now = _signatures(subject, "frontend")
    apart = float(np.abs(now - before).max()) if now.shape == before.shape else np.inf
    return apart, f"mel bands differ by up to {apart:.1e} dB from those at saving"


def _signatures(subject: Subject, part: str) -> tuple[np.ndarray, np.ndarray]:
    """One part of the signatures at saving and now."""
    saved, now = subject.saved, subject.now.get(part)
    if not isinstance(saved, dict) or saved.get("format") != SIGNATURE_FORMAT:
        raise Unknown("no signature: saved by another version, or a loaded model was given")
    try:
        before = np.asarray(saved.get(part), dtype=np.float64)
    except (TypeError, ValueError):
        before = np.full((), np.nan)
    if now is None or not np.isfinite(before).all():
        raise Unknown("the signature holds nothing to compare with")
    return before, np.asarray(now)


def tower_as_saved(subject: Subject, *, part: str) -> tuple[float, str]:
    """Largest move of an embedding since saving, by the mean distance of two."""
    before, now = _signatures(subject, part)
    apart = np.inf
    if now.shape == before.shape:
        apart = float(np.linalg.norm(now - before, axis=1).max() / max(mean_distance(before), 1e-6))
    return apart, f"embeddings moved since saving by up to {_percent(apart)} of the distance of unlike ones"


def _differences(how: str, audio: np.ndarray, text: np.ndarray) -> tuple[float, str]:
    """Figure and words of differences that should be rounding errors."""
    worst = [float(np.abs(x).max()) for x in (audio, text)]
    what = "captions" if worst[1] > worst[0] else "sounds"
    return float(np.max(worst)), f"{how}, {what} differ by up to {np.max(worst):.1e} in a coordinate"


def repeatable(subject: Subject) -> tuple[float, str]:
    """Largest difference between two passes of the same batch."""
    audio = [subject.embed_audio(subject.probes[:FEW]) for _ in range(2)]
    text = [subject.embed_text(CAPTIONS[:FEW]) for _ in range(2)]
    return _differences("embedded twice", audio[0] - audio[1], text[0] - text[1])


def batch_invariance(subject: Subject) -> tuple[float, str]:
    """Largest difference between an input alone and in a batch."""
    audio = np.concatenate([subject.embed_audio([wave]) for wave in subject.probes[:FEW]])
    text = np.concatenate([subject.embed_text([caption]) for caption in CAPTIONS[:FEW]])
    return _differences("alone and in a batch", subject.embedded_probes[:FEW] - audio, subject.text[:FEW] - text)


def padding_invariance(subject: Subject) -> tuple[float, str]:
    """Largest difference between an input alone and beside longer ones."""
    short = subject.probes[0][: len(subject.probes[0]) // 3]
    audio = subject.embed_audio([short]) - subject.embed_audio([short, *subject.probes[1:4]])[:1]
    text = subject.text[:3] - subject.embed_text([*CAPTIONS[:3], _LONG])[:3]
    return _differences("beside longer ones", audio, text)


def any_rate(subject: Subject) -> tuple[float, str]:
    """Mean move of sounds given at other rates, as arrays and as files, by the mean distance of two."""
    import soundfile

    embedded = {f"{rate:,} Hz": subject.embed_audio(subject.probes_at(rate), rate) for rate in _RATES}
    with tempfile.TemporaryDirectory(prefix="slapkit-doctor-") as folder:
        paths = [Path(folder) / f"{number}.wav" for number in range(FEW)]
        for path, wave in zip(paths, subject.probes_at(_FILE_RATE)):
            soundfile.write(path, wave, _FILE_RATE, subtype="FLOAT")
        files = np.asarray(subject.model.embed_audio(paths), dtype=np.float64)
    embedded[f"files of {_FILE_RATE:,} Hz"] = files
    moved = {what: subject.relative(subject.embedded_probes[:FEW] - found) for what, found in embedded.items()}
    worst = max(moved, key=lambda what: np.nan_to_num(moved[what], nan=np.inf))
    return moved[worst], f"sounds move by up to {_percent(moved[worst])} of the distance of unlike ones (most: {worst})"


def extreme_inputs(subject: Subject) -> tuple[float, str]:
    """Number of extreme inputs without a finite embedding of unit norm."""
    rate, wave = subject.rate, subject.probes[0]
    sounds = {
        "a sound of -70 dB": 1e-3 * wave, "a clipped sound": np.sign(wave),
        "20 ms of sound": wave[: rate // 50], "15 s of sound": np.concatenate([wave] * 3),
    }  # fmt: skip
    captions = {"one letter": "a", "a long caption": _LONG, "Chinese": "\u6162\u901f\u7684\u7b1b\u5b50\u72ec\u594f"}
    embedded = {what: subject.embed_audio([sound]) for what, sound in sounds.items()}
    embedded |= {what: subject.embed_text([caption]) for what, caption in captions.items()}
    wrong = [what for what, x in embedded.items() if not np.allclose(np.linalg.norm(x, axis=-1), 1, atol=1e-2)]
    if wrong:
        return len(wrong), f"no usable embedding of {', '.join(wrong)}"
    return 0, f"{len(embedded)} extreme inputs have finite embeddings of unit norm"


# The embedding space


def similarity(subject: Subject, *, part: str) -> tuple[float, str]:
    """Mean cosine of two different inputs."""
    embeddings = _enough(getattr(subject, part))
    mean = float((embeddings @ embeddings.T)[~np.eye(len(embeddings), dtype=bool)].mean())
    return mean, f"the mean cosine of two different inputs is {mean:.3f}"


def rank(subject: Subject) -> tuple[float, str]:
    """Effective rank of the embeddings, of the modality that has less."""
    audio, text = effective_rank(_enough(subject.audio)), effective_rank(subject.text)
    return min(audio, text), f"{audio:.1f} over {len(subject.audio)} sounds, {text:.1f} over {len(CAPTIONS)} captions"


def _enough(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings that are enough to tell how a model uses its space."""
    if len(embeddings) < FEW:
        raise Unknown(f"{len(embeddings)} sounds do not show it: give {FEW} or more, or none")
    return embeddings


def matched_pairs(subject: Subject) -> tuple[float, str]:
    """Share of sounds with other captions that a caption's own sound beats, 0.5 at chance or where random pairings
    reach it (1 %)."""
    if subject.sounds is None or subject.captions is None:
        raise Unknown("needs sounds with captions: give a data set")
    count, captions = len(subject.captions), np.array(subject.captions)
    if count < FEW:
        raise Unknown(f"{count} pairs show no more than chance: give {FEW} or more")
    others = captions[:, None] != captions
    if not others.any():
        raise Unknown("all sounds have the same caption: give others too")
    cosines = finite("caption embeddings", subject.embed_text(subject.captions)) @ subject.audio.T
    own = np.diag(cosines)[:, None]
    share = float(((own > cosines) + 0.5 * (own == cosines))[others].mean())
    rng, rows = np.random.default_rng(subject.seed), np.arange(count)
    random = [cosines[rows, rng.permutation(count)].sum() for _ in range(_PERMUTATIONS)]
    p = (1 + int((np.array(random) >= own.sum()).sum())) / (1 + _PERMUTATIONS)
    words = f"a caption's own sound beats {100 * share:.1f} % of those of other captions (chance 50 %; p = {p:.4f})"
    return share if p <= 0.01 else min(share, 0.5), words


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


class Kind(NamedTuple):
    """A check to be made: it warns from `warn` on and fails from `fail` on, downwards where `fail` is below `warn`."""

    group: str
    name: str
    measure: Measure
    warn: float
    fail: float
    remedy: str
    needs: tuple[str, ...] = ()  # checks that must not have failed, or this one says nothing


_FINITE = ("finite embeddings",)
_SAME = ("finite embeddings", "repeatable")
_SAVED = "they are not those that were saved: load the checkpoint again"
# In the order in which they run. Coordinates of unit-norm embeddings: a GPU in reduced precision stays below 1e-3.
CHECKS = (
    Kind("weights", "finite weights", finite_weights, 1, 1,
         "training diverged, or the file is damaged: take an earlier checkpoint; train with a lower lr, in float32"),
    Kind("weights", "trained weights", trained_weights, 1.2, 1.08,
         "the weights look random, untrained or shuffled: load the checkpoint again from its source"),
    Kind("weights", "text encoder", text_encoder, 1, 1,
         "install the text model in the version that this model was trained with"),
    Kind("weights", "evaluation mode", evaluation_mode, 1, 1, "call .eval() on the model before embedding"),
    Kind("front end", "feature level", feature_level, 0.5, 1.0,
         "sounds are louder or softer than in training, or the front end is another one: compare it with the run's"),
    Kind("behaviour", "finite embeddings", finite_embeddings, 1e-3, 1e-2,
         "see the weights; if they are finite, look for overflow in half precision, and normalise the embeddings"),
    Kind("behaviour", "repeatable", repeatable, 1e-3, 1e-2,
         "something random is at work: switch dropout off (.eval()), seed whatever draws windows", _FINITE),
    Kind("as saved", "front end as saved", frontend_as_saved, 0.05, 0.5,
         "the features are not those of the training: config.json or the front end's code was changed", _FINITE),
    Kind("as saved", "audio tower as saved", partial(tower_as_saved, part="audio"), 0.03, 0.1,
         f"weights or features: {_SAVED}", _FINITE),
    Kind("as saved", "text tower as saved", partial(tower_as_saved, part="text"), 0.03, 0.1,
         f"weights, tokenizer or the text model's version: {_SAVED}", _FINITE),
    Kind("behaviour", "batch invariance", batch_invariance, 1e-3, 1e-2,
         "one input leaks into another (BatchNorm in training mode?), or they come back in another order", _SAME),
    Kind("behaviour", "padding invariance", padding_invariance, 1e-3, 1e-2,
         "padding counts as content: check the text tower's attention mask, and how short sounds are filled", _SAME),
    Kind("behaviour", "any sampling rate", any_rate, 0.04, 0.1,
         "the rate of the sound is ignored or mistaken: check the resampling before the front end", _SAME),
    Kind("behaviour", "extreme inputs", extreme_inputs, 1, 1,
         "look for a division by a norm or a standard deviation that can be zero", _FINITE),
    Kind("space", "text similarity", partial(similarity, part="text"), 0.95, 0.99,
         "the text tower hardly distinguishes captions: a head is missing, untrained or collapsed", _FINITE),
    Kind("space", "audio similarity", partial(similarity, part="audio"), 0.95, 0.99,
         "the audio tower hardly distinguishes sounds: a head is missing, untrained or collapsed", _FINITE),
    Kind("space", "effective rank", rank, 2.5, 1.5,
         "the embeddings collapsed: train with lam nearer 0.5, a higher tau, a lower lr, BatchNorm, larger batches",
         _FINITE),
    Kind("space", "matched pairs", matched_pairs, 0.6, 0.5 + 1e-9,
         "the towers may come from different runs, be untrained or shuffled, or the captions be of other sounds",
         _FINITE),
)  # fmt: skip
