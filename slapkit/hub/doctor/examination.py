"""The examination: all checks of one model, each with a verdict whatever the model does."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from slapkit.audio import decode
from slapkit.config import require
from slapkit.errors import DataError, MetricError, SlapkitError
from slapkit.hub.doctor.checks import CHECKS, Kind, Unknown
from slapkit.hub.doctor.report import Check, Examination
from slapkit.hub.doctor.subject import Subject
from slapkit.hub.load import find, load_model
from slapkit.models.weights import read_json

MOST = 200  # sounds given that are looked at, drawn by the seed


def examine(
    model_or_path: Any, *, sounds: Sequence[str | Path | np.ndarray] | None = None,
    captions: Sequence[str] | None = None, sample_rate: int | None = None, tokenizer: str | Path | None = None,
    seed: int = 0, progress: bool = True,
) -> Examination:  # fmt: skip
    """Examine a model: is it whole, does it behave, do its embeddings use their space?

    Args:
        model_or_path: what `slapkit.load` takes, or a model with `embed_audio(sounds, sample_rate=)` and
            `embed_text(captions)`. Only a path has a signature.
        sounds: files or arrays `[T]` of `sample_rate` (Hz) of music like that of the training, at most 200 of which are
            looked at; default: synthetic probe sounds alone.
        captions: one for each sound, for the check that pairs match.
        tokenizer: that of `slapkit.load`.

    Raises:
        AudioError, DataError, ConfigError: the sounds, captions or seed given cannot be used. A fault of the model
            never raises.
    """
    require(seed >= 0, "seed", seed, "0 or more")
    if captions is not None and (sounds is None or len(captions) != len(sounds)):
        raise DataError(f"{len(captions)} captions for {len(sounds or ())} sounds: give one caption for each")
    name, model, saved = type(model_or_path).__name__, model_or_path, None
    if isinstance(model_or_path, str | Path):
        name = str(model_or_path)
        try:
            model, found = load_model(model_or_path, tokenizer=tokenizer), find(model_or_path)
            saved = read_json(found.place / "config.json").get("signature") if found.kind == "run" else None
        except (SlapkitError, OSError, RuntimeError, ValueError, KeyError) as error:
            words, remedy = f"{type(error).__name__}: {error}", "nothing else can be checked before it opens"
            return Examination(name, [Check("weights", "opens", "fail", 1.0, 1.0, words, remedy)])
    subject = Subject(model, seed=seed, saved=saved)
    if sounds is not None:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(len(sounds))[:MOST])
        subject.sounds = _decoded([sounds[i] for i in chosen], sample_rate, subject.rate)
        subject.captions = None if captions is None else [captions[i] for i in chosen]
    found = {}
    for kind in tqdm(CHECKS, desc="examining", unit="check", disable=not progress, leave=False):
        failed = [name for name in kind.needs if found[name].verdict == "fail"]
        found[kind.name] = unknown(kind, f"{failed[0]!r} failed") if failed else run_check(kind, subject)
    return Examination(name, list(found.values()), str(getattr(model, "note", "")))


def _decoded(sounds: list[str | Path | np.ndarray], sample_rate: int | None, target: int) -> list[np.ndarray]:
    """Return sounds as arrays `[T]` at the rate `target`."""
    if not sounds:
        raise DataError("no sounds are given: leave `sounds` out to take the probe sounds")
    waves = []
    for index, sound in enumerate(sounds):
        if not isinstance(sound, np.ndarray):
            waves.append(decode.read(sound, sample_rate=target))
        elif sample_rate is None:
            raise DataError(f"sounds[{index}] is an array of shape {sound.shape}: give its sample_rate in Hz")
        else:
            waves.append(decode.from_array(sound, sample_rate, target, name=f"sounds[{index}]"))
    return waves


def run_check(kind: Kind, subject: Subject) -> Check:
    """Make one check; what the model raises is a finding."""
    try:
        with np.errstate(all="ignore"):
            figure, words = kind.measure(subject)
    except Unknown as reason:
        return unknown(kind, str(reason))
    except MetricError as error:  # no finite embeddings, or all alike
        if kind.name != "finite embeddings":
            return unknown(kind, str(error))
        figure, words = math.nan, str(error)
    except Exception as error:  # whatever a foreign model raises, the page is written
        figure, words = math.nan, f"the model raised {type(error).__name__}: {error}".splitlines()[0]
    verdict = judge(figure, kind.warn, kind.fail)
    remedy = "" if verdict == "pass" else kind.remedy
    return Check(kind.group, kind.name, verdict, float(figure), kind.fail, words, remedy)


def judge(figure: float, warn: float, fail: float) -> str:
    """Return the verdict of a figure; where `fail` is below `warn`, small figures are the bad ones. NaN fails."""
    sign = -1 if fail < warn else 1
    if not sign * figure < sign * fail:  # NaN too
        return "fail"
    return "warn" if sign * figure >= sign * warn else "pass"


def unknown(kind: Kind, why: str) -> Check:
    """Return a check that cannot be made, and why."""
    return Check(kind.group, kind.name, "unknown", math.nan, kind.fail, why)
