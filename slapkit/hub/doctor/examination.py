"""The examination: all checks of one model, each of which ends in a verdict whatever the model does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slapkit.errors import DataError, MetricError, SlapkitError
from slapkit.hub.doctor import behaviour, frontend, signature, space, weights
from slapkit.hub.doctor.check import Check, Verdict, judged, unknown
from slapkit.hub.doctor.subject import Embeds, Subject, finite, rate_of

MOST = 200  # sounds given that are looked at, drawn by the seed

# Without finite embeddings nothing but the first of these can be measured.
_ALWAYS: tuple[tuple[str, str, Callable[[Subject], Check]], ...] = (
    ("weights", "finite weights", weights.finite_weights),
    ("weights", "trained weights", weights.learned),
    ("weights", "text encoder", weights.text_encoder),
    ("weights", "evaluation mode", behaviour.in_evaluation),
    ("front end", "front-end parity", frontend.parity),
    ("front end", "feature level", frontend.level),
)
_EMBEDDED: tuple[tuple[str, str, Callable[[Subject], Check]], ...] = (
    ("weights", "running statistics", weights.running_statistics),
    ("behaviour", "repeatable", behaviour.repeatable),
    ("behaviour", "alone or in a batch", behaviour.alone_or_in_company),
    ("behaviour", "any order", behaviour.any_order),
    ("behaviour", "any padding", behaviour.any_padding),
    ("behaviour", "any sampling rate", behaviour.any_rate),
    ("behaviour", "small shifts", behaviour.stable),
    ("behaviour", "extreme inputs", behaviour.edges),
    ("space", "text spread", space.text_spread),
    ("space", "audio spread", space.audio_spread),
    ("space", "effective rank", space.rank),
    ("space", "dead dimensions", space.dead_dimensions),
    ("space", "matched pairs", space.pairs),
)
# These compare two embeddings of one input, which says nothing where chance is at work.
_COMPARED = ("alone or in a batch", "any order", "any padding", "any sampling rate", "small shifts")
_GROUPS = {name: group for group, name, _ in (*_ALWAYS, *_EMBEDDED)} | {
    "opens": "weights",
    "finite embeddings": "behaviour",
    **dict.fromkeys(signature.NAMES.values(), "as saved"),
}
GROUPS = ("weights", "as saved", "front end", "behaviour", "space")
_ORDER: dict[Verdict, int] = {"unknown": 0, "pass": 1, "warn": 2, "fail": 3}


@dataclass(frozen=True)
class Examination:
    """What the doctor found: `checks` in groups, and what was examined, in words.

    A notebook shows it as a page; `text()`, `to_dict()` and `write_html(path)` give the other forms.
    """

    subject: str
    checks: list[Check] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """The worst of all verdicts; what cannot be told counts least."""
        return max((check.verdict for check in self.checks), key=lambda v: _ORDER[v], default="unknown")

    def check(self, name: str) -> Check:
        """Return one check by its name.

        Raises:
            KeyError: there is none of that name.
        """
        return {check.name: check for check in self.checks}[name]

    def groups(self) -> dict[str, list[Check]]:
        """Return the checks by group, in the order of the page."""
        found = {group: [c for c in self.checks if _GROUPS.get(c.name) == group] for group in GROUPS}
        return {group: checks for group, checks in found.items() if checks}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; figures that are not finite are None."""
        return {"subject": self.subject, "verdict": self.verdict, "checks": [c.to_dict() for c in self.checks]}

    def text(self) -> str:
        """Return the page for a terminal."""
        from slapkit.hub.doctor.report import as_text

        return as_text(self)

    def write_html(self, path: str | Path) -> Path:
        """Write the page as one HTML file that asks nothing of the network, and return its path."""
        from slapkit._io import atomic_write_text
        from slapkit.hub.doctor.report import as_page

        return atomic_write_text(path, as_page(self))

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from slapkit.hub.doctor.report import as_html

        return as_html(self)


def examine(
    model_or_path: Embeds | str | Path,
    *,
    sounds: Sequence[str | Path | np.ndarray] | None = None,
    captions: Sequence[str] | None = None,
    sample_rate: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Examination:
    """Examine a model: is it whole, does it behave, do its embeddings use their space?

    Args:
        model_or_path: a loaded model, anything with `embed_audio` and `embed_text` as `slapkit.models.inference.Model`
            has them, or what `slapkit.load` takes. Only a path can be compared with what was saved.
        sounds: files or arrays of real music, like that of the training; default: synthetic probe sounds alone. At most
            200 are looked at.
        captions: one for each sound; then it is checked, too, that pairs find each other.
        sample_rate: rate of `sounds` that are arrays, in Hz.
        seed: of the probe sounds and of what is drawn.
        progress: show a bar.

    Raises:
        AudioError, DataError: the sounds or captions given cannot be used. What is wrong with the model never raises.
    """
    if captions is not None and (sounds is None or len(captions) != len(sounds)):
        raise DataError(
            f"{len(captions)} captions for {0 if sounds is None else len(sounds)} sounds: give one caption for each"
        )
    name, model, saved = type(model_or_path).__name__, model_or_path, None
    if isinstance(model_or_path, str | Path):
        name = str(model_or_path)
        try:
            model, saved = _opened(Path(model_or_path))
        except (SlapkitError, OSError, RuntimeError, ValueError, KeyError) as error:
            remedy = "nothing else can be checked before the checkpoint opens"
            words = f"{type(error).__name__}: {error}"
            return Examination(name, [judged("opens", 1.0, warn=1, fail=1, words=words, remedy=remedy)])
    chosen = None if sounds is None else _drawn(len(sounds), seed)
    subject = Subject(
        model,
        sounds=None if chosen is None else _decoded([sounds[i] for i in chosen], sample_rate, rate_of(model)),
        captions=None if captions is None else [captions[i] for i in chosen],
        seed=seed,
        signature=saved,
    )
    return Examination(name, _all_checks(subject, progress=progress))


def _opened(path: Path) -> tuple[Embeds, Any]:
    """Load a model, and the signature beside it if there is one."""
    from slapkit.hub.load import load_model
    from slapkit.models.weights import read_json

    model = load_model(path)
    for folder in (path, path / "checkpoint"):
        if (folder / "config.json").is_file():
            return model, read_json(folder / "config.json").get("signature")
    return model, None


def _drawn(count: int, seed: int) -> np.ndarray:
    """Numbers of the sounds that are looked at, in order."""
    if count <= MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST, replace=False))


def _decoded(sounds: Sequence[str | Path | np.ndarray], sample_rate: int | None, target: int) -> list[np.ndarray]:
    """Sounds as arrays `[T]` at the rate `target`."""
    from slapkit.audio import decode

    if not sounds:
        raise DataError("no sounds are given: leave `sounds` out to take the probe sounds")
    waves = []
    for number, sound in enumerate(sounds):
        if not isinstance(sound, np.ndarray):
            waves.append(decode.read(sound, sample_rate=target))
        elif sample_rate is None:
            raise DataError(f"sound {number} is an array of shape {sound.shape}: say its sample_rate in Hz")
        else:
            waves.append(decode.from_array(sound, sample_rate, target, name=f"sound {number}"))
    return waves


def _all_checks(subject: Subject, *, progress: bool) -> list[Check]:
    """Run all checks, in the order of the page."""
    from tqdm.auto import tqdm

    steps = len(_ALWAYS) + len(_EMBEDDED) + 2
    with tqdm(total=steps, desc="examining", unit="check", disable=not progress, leave=False) as bar:
        checks = []
        for _, name, function in _ALWAYS:
            checks.append(_one(name, function, subject))
            bar.update()
        embeddings = _one("finite embeddings", _finite_embeddings, subject)
        checks.append(embeddings)
        bar.update()
        if embeddings.verdict == "fail":
            names = [*signature.NAMES.values(), *(name for _, name, _ in _EMBEDDED)]
            return checks + [unknown(name, "there are no finite embeddings to look at") for name in names]
        checks += _as_saved(subject)
        bar.update()
        untold = "the same input gives different embeddings already"
        for _, name, function in _EMBEDDED:
            chance = name in _COMPARED and any(c.name == "repeatable" and c.verdict == "fail" for c in checks)
            checks.append(unknown(name, untold) if chance else _one(name, function, subject))
            bar.update()
    return checks


def _one(name: str, function: Callable[[Subject], Check], subject: Subject) -> Check:
    """Run one check; what the model raises is a finding."""
    try:
        with np.errstate(all="ignore"):
            return function(subject)
    except MetricError as error:  # no yardstick: the check that says why stands beside this one
        return unknown(name, str(error))
    except Exception as error:  # whatever a foreign model raises, the page is written
        words = f"the model raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return judged(
            name, np.nan, warn=0, fail=0, words=words, remedy="embed such inputs yourself to see the traceback"
        )


def _finite_embeddings(subject: Subject) -> Check:
    """Do all probe sounds and captions have finite embeddings of unit norm?"""
    name, remedy = "finite embeddings", "see the weights above; if they are finite, look for overflow in half precision"
    try:
        both = subject.audio, subject.text, finite("sound embeddings", subject.heard)
    except MetricError as error:
        return judged(name, 1.0, warn=1, fail=1, words=str(error), remedy=remedy)
    off = max(float(np.abs(np.linalg.norm(x, axis=1) - 1).max()) for x in both)
    words = f"all are finite, and norms differ from 1 by up to {off:.1e}"
    return judged(
        name, off, warn=1e-3, fail=1e-2, words=words, remedy="bring embeddings to unit norm before giving them"
    )


def _as_saved(subject: Subject) -> list[Check]:
    """The checks against the signature, or one unknown for each of them."""
    try:
        return signature.as_saved(subject)
    except Exception as error:
        words = f"the comparison ended with {type(error).__name__}: {error}"
        return [unknown(name, words) for name in signature.NAMES.values()]
