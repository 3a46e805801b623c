"""The paper's claims, and the figures that decide each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from slapkit.errors import MetricError
from slapkit.runs.claims.estimate import Term, contrast, estimate
from slapkit.runs.claims.finding import Evidence, Finding
from slapkit.runs.claims.results import Results

WAYS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}
NO_GAP = 0.05  # separability this near to one half is "almost none"
SAME = 0.02  # recalls this near to each other are the same
SAME_MEMORY = 1.05  # of one micro-batch's
COLLAPSED = 1.5  # effective rank
INSIDE = (0.2, 0.7)  # lam, beyond which the paper saw collapse
_R1, _R10 = "q.text_to_audio.R@1", "q.text_to_audio.R@10"


class Claim(NamedTuple):
    """A claim, where the paper makes it, and its evidence."""

    key: str
    claim: str
    source: str
    evidence: Callable[[Results], Iterator[Evidence]]


CLAIMS: list[Claim] = []


def _claim(key: str, text: str, source: str) -> Callable:
    """Register a claim with the function that yields its evidence."""

    def register(evidence: Callable[[Results], Iterator[Evidence]]) -> Callable:
        CLAIMS.append(Claim(key, text, source, evidence))
        return evidence

    return register


def judge(results: Results) -> list[Finding]:
    """Return what was found about every claim; one that cannot be measured says why."""
    findings = []
    for claim in CLAIMS:
        evidence, missing = [], ""
        try:
            for one in claim.evidence(results):
                evidence.append(one)
        except MetricError as error:
            missing = str(error)
        findings.append(Finding(claim.key, claim.claim, claim.source, tuple(evidence), missing))
    return findings


def _difference(what: str, *terms: Term, unit: str = "points", **limits: float) -> Evidence:
    found = contrast(terms)
    return Evidence(what, found.difference, found.low, found.high, unit=unit, p_value=found.p_value, **limits)


@_claim("retrieval", "SLAP retrieves better than CLAP, trained alike.", "tables of retrieval, from scratch")
def _retrieval(results: Results) -> Iterator[Evidence]:
    slap, clap = results.of("models", "slap"), results.of("models", "clap")
    for way, words in WAYS.items():
        for recall in ("R@1", "R@10"):
            name = f"q.{way}.{recall}"
            yield _difference(f"{recall} {words}, SLAP less CLAP", (1, slap, name), (-1, clap, name))


@_claim("q", "Predictions q retrieve a little better than projections z.", "table of q against z")
def _q_against_z(results: Results) -> Iterator[Evidence]:
    slap = results.of("models", "slap")
    for way, words in WAYS.items():
        terms = ((1, slap, f"q.{way}.R@10"), (-1, slap, f"z.{way}.R@10"))
        yield _difference(f"R@10 {words}, q less z", *terms)


@_claim("zero-shot", "SLAP classifies and tags better than CLAP from prompts.", "table of zero-shot")
def _zero_shot(results: Results) -> Iterator[Evidence]:
    slap, clap = results.of("models", "slap"), results.of("models", "clap")
    for task, metric in (("style", "accuracy"), ("instruments", "mAP"), ("tags", "mAR")):
        name = f"zero.{task}.{metric}.best"
        yield _difference(f"{task}, {metric}, SLAP less CLAP", (1, slap, name), (-1, clap, name))


@_claim(
    "probing",
    "SLAP's audio encoder knows more than prompts bring out: a small classifier on it does better.",
    "tables of probing and zero-shot",
)
def _probing(results: Results) -> Iterator[Evidence]:
    slap = results.of("models", "slap")
    for name in ("style.accuracy", "instruments.mAP"):
        terms = ((1, slap, f"probe.mlp.{name}"), (-1, slap, f"zero.{name}.best"))
        yield _difference(f"{name.replace('.', ', ')}, probe less prompt", *terms)


@_claim("gap", "CLAP's gap between audio and text is larger than SLAP's.", "figure of the modality gap")
def _gap(results: Results) -> Iterator[Evidence]:
    slap, clap = results.of("models", "slap"), results.of("models", "clap")
    terms = ((1, clap, "q.distance"), (-1, slap, "q.distance"))
    yield _difference("distance of the centroids, CLAP less SLAP", *terms, unit="distance")
    yield _difference("linear separability, CLAP less SLAP", (1, clap, "q.separability"), (-1, slap, "q.separability"))


@_claim("no-gap", "SLAP leaves almost no gap.", "figure of the modality gap")
def _no_gap(results: Results) -> Iterator[Evidence]:
    found = estimate(results.of("models", "slap"), "q.separability")
    limits = {"least": 0.5 - NO_GAP, "most": 0.5 + NO_GAP, "unit": "percent"}
    yield Evidence("a linear classifier separates SLAP's audio from its text in", *found, **limits)


@_claim("inter-modal", "It is the inter-modal terms that join the modalities.", "section on the method")
def _inter_modal(results: Results) -> Iterator[Evidence]:
    slap, byol = results.of("models", "slap"), results.of("models", "byol")
    yield _difference("R@10 text to audio, SLAP less BYOL of each modality", (1, slap, _R10), (-1, byol, _R10))


def _ends(results: Results, label: str) -> list[Term]:
    """Return R@1 at the largest batch less that at the smallest, as terms."""
    small, large = min(results.size.batches), max(results.size.batches)
    return [(1, results.of("batch", label, large), _R1), (-1, results.of("batch", label, small), _R1)]


def _span(results: Results) -> str:
    return f"{max(results.size.batches)} to {min(results.size.batches)}"


@_claim("batch", "CLAP's recall falls with smaller batches.", "figure of batch sizes")
def _batch_clap(results: Results) -> Iterator[Evidence]:
    yield _difference(f"CLAP, R@1 at batch {_span(results)}", *_ends(results, "clap"))


@_claim("batch-slap", "SLAP's recall falls less with smaller batches than CLAP's.", "figure of batch sizes")
def _batch_slap(results: Results) -> Iterator[Evidence]:
    ours = [(-weight, runs, name) for weight, runs, name in _ends(results, "slap")]
    yield _difference(f"loss of R@1 from batch {_span(results)}, CLAP less SLAP", *_ends(results, "clap"), *ours)


@_claim(
    "cached",
    "Cached accumulation gives CLAP the large batch that plain accumulation cannot.",
    "not in the paper: its baseline has the batch of one device",
)
def _cached(results: Results) -> Iterator[Evidence]:
    batch = max(results.size.batches)
    plain, cached = results.of("batch", "clap", batch), results.of("batch", "clap, cached", batch)
    terms = ((1, cached, _R10), (-1, plain, _R10))
    yield _difference(f"R@10 at batch {batch}, cached less plain", *terms, least=-SAME, most=SAME)


@_claim("memory", "SLAP's batch grows by accumulation at the memory of one micro-batch.", "section on scaling")
def _memory(results: Results) -> Iterator[Evidence]:
    one, *_, largest = results.size.memory
    peaks = [results.memory.get(("slap", "accumulated", batch)) for batch in (one, largest)]
    if not all(peaks):
        raise MetricError("peak memory was not measured")
    ratios = [after / before for before in peaks[0] for after in peaks[1]]
    what = f"SLAP's peak memory at batch {largest} over that at {one} (range of repetitions)"
    yield Evidence(what, float(np.mean(ratios)), min(ratios), max(ratios), most=SAME_MEMORY, unit="ratio")


@_claim("collapse", "Training collapses with lam outside of 0.2 to 0.7.", "figure of lam")
def _collapse(results: Results) -> Iterator[Evidence]:
    for words, inside in (("outside", False), ("inside", True)):
        counted = collapsed = 0
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


@_claim("lam", "Any lam other than 0.5 opens the gap.", "figure of lam")
def _lam_gap(results: Results) -> Iterator[Evidence]:
    lam = results.size.lam
    middle = results.of("lam", "slap", lam)
    for x, runs in results.column("lam", "slap"):
        if x == lam or not runs:  # where all runs collapsed there is no gap to measure
            continue
        terms = ((1, runs, "q.distance"), (-1, middle, "q.distance"))
        yield _difference(f"gap at lam {x:g} less that at {lam:g}", *terms, unit="distance")


@_claim("tau", "tau 0.95 retrieves better than 0.996.", "section on training")
def _tau(results: Results) -> Iterator[Evidence]:
    ours, slow = results.of("tau", "slap", results.size.tau), results.of("tau", "slap", max(results.size.taus))
    what = f"R@10 text to audio, tau {results.size.tau:g} less {max(results.size.taus):g}"
    yield _difference(what, (1, ours, _R10), (-1, slow, _R10))
