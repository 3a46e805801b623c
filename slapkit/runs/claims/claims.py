"""The paper's claims, the figures that decide each of them, and the verdicts that follow from their intervals."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import beta

from slapkit.errors import MetricError
from slapkit.metrics.protocol import markdown
from slapkit.metrics.summary import DIRECTIONS
from slapkit.runs.claims.estimate import Term, contrast, estimate
from slapkit.runs.claims.plan import NAMES
from slapkit.runs.claims.results import Results

Verdict = Literal["holds", "does not hold", "cannot be told"]
HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
_UNITS = {  # scale, digits, suffix
    "points": (100, 1, " points"),
    "percent": (100, 1, " %"),
    "distance": (1, 3, ""),
    "ratio": (1, 3, " times"),
    "share": (100, 0, " %"),
}


@dataclass(frozen=True)
class Evidence:
    """One figure with its 95 % interval, NaN where there is none.

    The claim holds if the whole interval lies within `least` and `most`, and fails if all of it lies outside.
    """

    what: str
    value: float
    low: float
    high: float
    least: float = 0.0
    most: float = math.inf
    unit: str = "points"
    p_value: float = math.nan

    @property
    def verdict(self) -> Verdict:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return OPEN
        if self.low > self.least and self.high <= self.most:
            return HOLDS
        return FAILS if self.high < self.least or self.low > self.most else OPEN

    def words(self) -> str:
        """Return the figure with its interval, such as "+3.1 points (1.2 to 5.0)"."""
        scale, digits, suffix = _UNITS[self.unit]
        signed = "+" if self.unit in ("points", "distance") else ""  # differences
        text = f"{scale * self.value:{signed}z.{digits}f}{suffix}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            text += f" ({scale * self.low:z.{digits}f} to {scale * self.high:z.{digits}f}"
            # None of 10,000 arrangements was more extreme: smaller p-values cannot be resolved.
            p = f"{self.p_value:.3f}" if self.p_value >= 0.0005 else "below 0.001"
            text += f"; p {p})" if math.isfinite(self.p_value) else ")"
        return text.replace("-", "\u2212")


@dataclass(frozen=True)
class Finding:
    """A claim, where the paper makes it, its evidence, and why something could not be measured (else empty)."""

    key: str
    claim: str
    source: str
    evidence: tuple[Evidence, ...]
    missing: str = ""

    @property
    def verdict(self) -> Verdict:
        """A claim holds if all of its evidence does, and does not hold if one piece does not."""
        verdicts = [one.verdict for one in self.evidence]
        if FAILS in verdicts:
            return FAILS
        return HOLDS if verdicts and not self.missing and set(verdicts) == {HOLDS} else OPEN

    @property
    def sentence(self) -> str:
        """The finding in one sentence of plain text."""
        verdict = {HOLDS: "Holds here", FAILS: "Does not hold here", OPEN: "Cannot be told here"}[self.verdict]
        parts = [f"{one.what} {one.words()}" for one in self.evidence]
        return f"{verdict}: {'; '.join([*parts, *([self.missing] if self.missing else [])])}."

    def to_dict(self) -> dict[str, Any]:
        """Return the finding for `metrics.json`; what is not finite becomes None."""

        def plain(value: Any) -> Any:
            return value if isinstance(value, str) else float(value) if math.isfinite(value) else None

        evidence = [{k: plain(v) for k, v in asdict(e).items()} | {"verdict": e.verdict} for e in self.evidence]
        fields = {"claim": self.claim, "source": self.source, "verdict": self.verdict}
        return fields | {"evidence": evidence, "missing": self.missing}


def words(*findings: Finding) -> str:
    """Return claims with what was found about them, a paragraph each, as Markdown."""
    return "\n\n".join(f"**{markdown(f.claim)}** {markdown(f.sentence)}" for f in findings)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many claims hold, do not, and cannot be told."""
    verdicts = [finding.verdict for finding in findings]
    return {verdict: verdicts.count(verdict) for verdict in (HOLDS, FAILS, OPEN)}


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


def _less(results: Results, what: str, ours: str, theirs: str, name: str, *, unit: str = "points") -> Evidence:
    """A figure of one model less that of another."""
    terms = ((weight, results.of("models", label), name) for weight, label in ((1, ours), (-1, theirs)))
    return _difference(f"{what}, {NAMES[ours]} less {NAMES[theirs]}", *terms, unit=unit)


@_claim("retrieval", "SLAP retrieves better than CLAP, trained alike.", "tables of retrieval, from scratch")
def _retrieval(results: Results) -> Iterator[Evidence]:
    for way, words in DIRECTIONS.items():
        for recall in ("R@1", "R@10"):
            yield _less(results, f"{recall} {words}", "slap", "clap", f"q.{way}.{recall}")


@_claim("q", "Predictions q retrieve a little better than projections z.", "table of q against z")
def _q_against_z(results: Results) -> Iterator[Evidence]:
    slap = results.of("models", "slap")
    for way, words in DIRECTIONS.items():
        terms = ((1, slap, f"q.{way}.R@10"), (-1, slap, f"z.{way}.R@10"))
        yield _difference(f"R@10 {words}, q less z", *terms)


@_claim("zero-shot", "SLAP classifies and tags better than CLAP from prompts.", "table of zero-shot")
def _zero_shot(results: Results) -> Iterator[Evidence]:
    for task, metric in (("style", "accuracy"), ("instruments", "mAP"), ("tags", "mAR")):
        yield _less(results, f"{task}, {metric}", "slap", "clap", f"zero.{task}.{metric}.best")


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
    yield _less(results, "distance of the centroids", "clap", "slap", "q.distance", unit="distance")
    yield _less(results, "linear separability", "clap", "slap", "q.separability")


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
    small = min(results.size.batches)
    terms = [(weight, results.of("batch", label, small), _R1) for weight, label in ((1, "slap"), (-1, "clap"))]
    yield _difference(f"R@1 at batch {small}, SLAP less CLAP", *terms)


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
