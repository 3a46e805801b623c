"""The claims themselves: each a function of the results that returns its evidence.

A difference counts with its 95 % interval over works and training seeds. A claim of a larger figure holds where the
whole interval lies above zero, and does not hold where all of it lies below; in between it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from slapkit.errors import MetricError
from slapkit.runs.claims.estimate import contrast, estimate
from slapkit.runs.claims.finding import Evidence, Finding
from slapkit.runs.claims.measure import Measured
from slapkit.runs.claims.results import Results

WAYS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}
NO_GAP = 0.05  # separability this near to one half is "almost none"
SAME = 0.02  # recalls this near to each other are the same
SAME_MEMORY = 1.05  # of one micro-batch's
COLLAPSED = 1.5  # effective rank
INSIDE = (0.2, 0.7)  # lam, beyond which the paper saw collapse


@dataclass(frozen=True)
class Claim:
    """A claim, where the paper makes it, and how it is looked into."""

    key: str
    claim: str
    source: str
    look: Callable[[Results], Iterable[Evidence]]


def judge(results: Results) -> list[Finding]:
    """Return what was found about every claim; one that cannot be measured says why."""
    findings = []
    for claim in CLAIMS:
        evidence, missing = [], ""
        try:
            for one in claim.look(results):
                evidence.append(one)
        except MetricError as error:
            missing = str(error)
        findings.append(Finding(claim.key, claim.claim, claim.source, tuple(evidence), missing))
    return findings


def _difference(
    what: str, *terms: tuple[float, list[Measured], str], unit: str = "points", **limits: float
) -> Evidence:
    found = contrast(terms)
    return Evidence(what, found.difference, found.low, found.high, unit=unit, p_value=found.p_value, **limits)


def _retrieval(results: Results) -> Iterable[Evidence]:
    slap, clap = results.of("models", "slap"), results.of("models", "clap")
    for way, words in WAYS.items():
        for recall in ("R@1", "R@10"):
            name = f"q.{way}.{recall}"
            yield _difference(f"{recall} {words}, SLAP less CLAP", (1, slap, name), (-1, clap, name))


def _q_against_z(results: Results) -> Iterable[Evidence]:
    slap = results.of("models", "slap")
    for way, words in WAYS.items():
        terms = ((1, slap, f"q.{way}.R@10"), (-1, slap, f"z.{way}.R@10"))
        yield _difference(f"R@10 {words}, q less z", *terms)


def _zero_shot(results: Results) -> Iterable[Evidence]:
    slap, clap = results.of("models", "slap"), results.of("models", "clap")
    for name, words in (
        ("zero.style.accuracy.best", "style, accuracy"),
        ("zero.instruments.mAP.best", "instruments, mAP"),
        ("zero.tags.mAR.best", "tags, mAR"),
    ):
        yield _difference(f"{words}, SLAP less CLAP", (1, slap, name), (-1, clap, name))


def _probing(results: Results) -> Iterable[Evidence]:
    slap = results.of("models", "slap")
    for probe, zero, words in (
        ("probe.mlp.style.accuracy", "zero.style.accuracy.best", "style, accuracy"),
        ("probe.mlp.instruments.mAP", "zero.instruments.mAP.best", "instruments, mAP"),
    ):
        yield _difference(f"{words}, probe less prompt", (1, slap, probe), (-1, slap, zero))


def _gap(results: Results) -> Iterable[Evidence]:
    slap, clap = results.of("models", "slap"), results.of("models", "clap")
    terms = ((1, clap, "q.distance"), (-1, slap, "q.distance"))
    yield _difference("distance of the centroids, CLAP less SLAP", *terms, unit="distance")
    terms = ((1, clap, "q.separability"), (-1, slap, "q.separability"))
    yield _difference("linear separability, CLAP less SLAP", *terms)


def _no_gap(results: Results) -> Iterable[Evidence]:
    found = estimate(results.of("models", "slap"), "q.separability")
    limits = {"least": 0.5 - NO_GAP, "most": 0.5 + NO_GAP, "unit": "percent"}
    yield Evidence("a line tells SLAP's audio from its text in", *found, **limits)


def _alone(results: Results) -> Iterable[Evidence]:
    slap, byol = results.of("models", "slap"), results.of("models", "byol")
    name = "q.text_to_audio.R@10"
    yield _difference("R@10 text to audio, SLAP less BYOL of each modality", (1, slap, name), (-1, byol, name))


def _ends(results: Results, label: str) -> tuple[list[Measured], list[Measured]]:
    """Return the runs at the smallest and at the largest batch."""
    batches = results.size.batches
    return results.of("batch", label, min(batches)), results.of("batch", label, max(batches))


def _batch_clap(results: Results) -> Iterable[Evidence]:
    small, large = _ends(results, "clap")
    name = "q.text_to_audio.R@1"
    yield _difference(f"CLAP, R@1 at batch {_span(results)}", (1, large, name), (-1, small, name))


def _batch_slap(results: Results) -> Iterable[Evidence]:
    small, large = _ends(results, "clap")
    ours_small, ours_large = _ends(results, "slap")
    name = "q.text_to_audio.R@1"
    terms = ((1, large, name), (-1, small, name), (-1, ours_large, name), (1, ours_small, name))
    yield _difference(f"what R@1 loses from batch {_span(results)}, CLAP less SLAP", *terms)


def _span(results: Results) -> str:
    return f"{max(results.size.batches)} to {min(results.size.batches)}"


def _cached(results: Results) -> Iterable[Evidence]:
    batch = max(results.size.batches)
    plain, cached = results.of("batch", "clap", batch), results.of("batch", "clap, cached", batch)
    name = "q.text_to_audio.R@10"
    limits = {"least": -SAME, "most": SAME}
    yield _difference(f"R@10 at batch {batch}, cached less plain", (1, cached, name), (-1, plain, name), **limits)


def _memory(results: Results) -> Iterable[Evidence]:
    one, *_, largest = results.size.memory
    peaks = [results.memory.get(("slap", "accumulated", batch)) for batch in (one, largest)]
    if not all(peaks):
        raise MetricError("peak memory was not measured")
    ratios = [after / before for before in peaks[0] for after in peaks[1]]
    what = f"SLAP's peak memory at batch {largest} over that at {one} (range of repetitions)"
    limits = {"least": 0.0, "most": SAME_MEMORY, "unit": "ratio"}
    yield Evidence(what, float(np.mean(ratios)), min(ratios), max(ratios), **limits)


def _collapse(results: Results) -> Iterable[Evidence]:
    from scipy.stats import beta

    for words, inside in (("outside", False), ("inside", True)):
        counted, collapsed = 0, 0
        for cell, runs, lost in zip(results.cells, results.runs, results.collapsed):
            if cell.study == "lam" and (INSIDE[0] <= cell.x <= INSIDE[1]) == inside:
                counted += len(runs) + lost
                collapsed += lost + sum(run["q.effective_rank"].value < COLLAPSED for run in runs)
        if not counted:
            raise MetricError(f"no run has lam {words} of {INSIDE[0]} to {INSIDE[1]}")
        # Clopper and Pearson's exact interval of a share.
        low = float(beta.ppf(0.025, collapsed, counted - collapsed + 1)) if collapsed else 0.0
        high = float(beta.ppf(0.975, collapsed + 1, counted - collapsed)) if collapsed < counted else 1.0
        what = f"{collapsed} of {counted} runs collapsed with lam {words} of {INSIDE[0]} to {INSIDE[1]},"
        limits = {"least": -1.0, "most": 0.5} if inside else {"least": 0.5}
        yield Evidence(what, collapsed / counted, low, high, unit="share", **limits)


def _lam_gap(results: Results) -> Iterable[Evidence]:
    lam = results.size.lam
    middle = results.of("lam", "slap", lam)
    for x, runs in results.column("lam", "slap"):
        if x == lam:
            continue
        if not runs:
            continue  # collapsed: there is no gap to speak of
        terms = ((1, runs, "q.distance"), (-1, middle, "q.distance"))
        yield _difference(f"gap at lam {x:g} less that at {lam:g}", *terms, unit="distance")


def _tau(results: Results) -> Iterable[Evidence]:
    ours, slow = results.of("tau", "slap", results.size.tau), results.of("tau", "slap", max(results.size.taus))
    name = "q.text_to_audio.R@10"
    what = f"R@10 text to audio, tau {results.size.tau:g} less {max(results.size.taus):g}"
    yield _difference(what, (1, ours, name), (-1, slow, name))


CLAIMS = (
    Claim(
        "retrieval", "SLAP retrieves better than CLAP, trained alike.", "tables of retrieval, from scratch", _retrieval
    ),
    Claim("q", "Predictions q retrieve a little better than projections z.", "table of q against z", _q_against_z),
    Claim("zero-shot", "SLAP classifies and tags better than CLAP from prompts.", "table of zero-shot", _zero_shot),
    Claim(
        "probing",
        "SLAP's audio encoder knows more than prompts bring out: a small classifier on it does better.",
        "tables of probing and zero-shot",
        _probing,
    ),
    Claim("gap", "CLAP's gap between audio and text is larger than SLAP's.", "figure of the modality gap", _gap),
    Claim("no-gap", "SLAP leaves almost no gap.", "figure of the modality gap", _no_gap),
    Claim("inter-modal", "It is the inter-modal terms that join the modalities.", "section on the method", _alone),
    Claim("batch", "CLAP's recall falls with smaller batches.", "figure of batch sizes", _batch_clap),
    Claim(
        "batch-slap", "SLAP's recall falls less with smaller batches than CLAP's.", "figure of batch sizes", _batch_slap
    ),
    Claim(
        "cached",
        "Cached accumulation gives CLAP the large batch that plain accumulation cannot.",
        "not in the paper: its baseline has the batch of one device",
        _cached,
    ),
    Claim(
        "memory", "SLAP's batch grows by accumulation at the memory of one micro-batch.", "section on scaling", _memory
    ),
    Claim("collapse", "Training collapses with lam outside of 0.2 to 0.7.", "figure of lam", _collapse),
    Claim("lam", "Any lam other than 0.5 opens the gap.", "figure of lam", _lam_gap),
    Claim("tau", "tau 0.95 retrieves better than 0.996.", "section on training", _tau),
)
