"""The gap panel: gap, cosines, spectra and retrieval of a model, as trained and with each modality recentred."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from slapkit.errors import MetricError
from slapkit.metrics import Space
from slapkit.metrics.embedded import Embedded, Kind
from slapkit.metrics.gap import matched_and_unmatched
from slapkit.metrics.intervals import Estimate, estimate

BINS = np.linspace(-1, 1, 81)


@dataclasses.dataclass(frozen=True)
class Cosines:
    """Cosines of one kind of pair: densities over `BINS`, and how often a matched pair (if any) has the higher one."""

    matched: np.ndarray | None
    unmatched: np.ndarray
    auc: float


@dataclasses.dataclass(frozen=True)
class Stage:
    """The measurements of one space. Recalls in [0, 1]; arrays are for figures."""

    distance: Estimate
    separability: float
    recall: dict[str, Estimate]  # R@10 by direction
    retrieval: dict[str, dict[str, float]]
    ranks: dict[str, float]  # effective rank by modality
    cosines: dict[str, Cosines]
    spectra: dict[str, np.ndarray]

    def numbers(self) -> dict[str, Any]:
        """Return what `metrics.json` keeps, NaN as None."""
        return {
            "centroid_distance": self.distance.value,
            "centroid_distance_half_width": _finite(self.distance.half_width),
            "linear_separability": self.separability,
            "retrieval": self.retrieval,
            "R@10_half_width": {way: _finite(found.half_width) for way, found in self.recall.items()},
            "effective_rank": self.ranks,
            "matched_above_unmatched": {kind: _finite(found.auc) for kind, found in self.cosines.items()},
        }


@dataclasses.dataclass(frozen=True)
class GapReport:
    """One model's space by stage: "as trained" and, unless it has collapsed, "recentred"."""

    name: str
    objective: str
    stages: dict[str, Stage]

    @property
    def trained(self) -> Stage:
        return self.stages["as trained"]

    @property
    def recentred(self) -> Stage | None:
        return self.stages.get("recentred")

    def numbers(self) -> dict[str, Any]:
        """Return what `metrics.json` keeps."""
        return {"recentred": None} | {name.replace(" ", "_"): s.numbers() for name, s in self.stages.items()}


def gap_report(embedded: Embedded, kind: Kind = "q", *, seed: int = 0) -> GapReport:
    """Measure one model before and after recentring each modality by its own mean, which needs no labels."""
    space = embedded.space(kind, seed=seed)
    first, last = embedded.arrays[f"{kind}_first"], embedded.arrays[f"{kind}_last"]
    stages = {"as trained": _measure(space, first, last)}
    with contextlib.suppress(MetricError):  # collapsed
        mean = np.asarray(space.audio, dtype=np.float64).mean(axis=0)  # of the clips, also for their windows
        stages["recentred"] = _measure(space.recentred(), first - mean, last - mean)
    return GapReport(embedded.name, embedded.objective, stages)


def _measure(space: Space, first: np.ndarray, last: np.ndarray) -> Stage:
    return Stage(
        distance=estimate(space.along_gap),
        separability=space.gap()["linear_separability"],
        recall={way: estimate(ranks.hit_probability(10), clips) for way, (ranks, clips) in space.queries.items()},
        retrieval=space.retrieval(),
        ranks=space.effective_ranks,
        cosines=_cosines(space, first, last),
        spectra=space.spectra,
    )


def _cosines(space: Space, first: np.ndarray, last: np.ndarray) -> dict[str, Cosines]:
    """Compare clips with captions, first with last windows, and captions with captions."""
    audio, text, clip_of_caption = space.audio, space.text, space.clip_of_caption
    clips = np.arange(len(audio))
    across = matched_and_unmatched(queries=text, candidates=audio, query_of=clip_of_caption, candidate_of=clips)
    within = matched_and_unmatched(queries=first, candidates=last, query_of=clips, candidate_of=clips)
    if np.array_equal(first, last):  # clips of one window
        within = (np.array([]), within[1])
    words = matched_and_unmatched(queries=text, candidates=text, query_of=clip_of_caption, candidate_of=clip_of_caption)
    return {"across": _described(*across), "audio": _described(*within), "text": _described(*words)}


def _described(matched: np.ndarray, unmatched: np.ndarray) -> Cosines:
    """Return densities, and how often a matched pair is nearer than an unmatched one; ties count half."""
    rest = np.histogram(np.clip(unmatched, -1, 1), BINS, density=True)[0] if len(unmatched) else np.zeros(len(BINS) - 1)
    if not len(matched) or not len(unmatched):
        return Cosines(None, rest, float("nan"))
    ordered = np.sort(unmatched)
    below = np.searchsorted(ordered, matched, "left") + np.searchsorted(ordered, matched, "right")
    share = float(below.mean() / (2 * len(ordered)))
    return Cosines(np.histogram(np.clip(matched, -1, 1), BINS, density=True)[0], rest, share)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def found_words(reports: Sequence[GapReport]) -> str:
    """Return the findings of the gap panel, one sentence per model (Markdown)."""
    sentences = []
    for report in reports:
        numbers = [(s.distance.value, s.separability, s.recall["text_to_audio"].value) for s in report.stages.values()]
        sentence = (
            "**{}** leaves {:.3f} between the centroids of audio and text, a line separates them in {:.1%} of the "
            "cases (chance 50 %), and the right clip is among the first ten for {:.1%} of the captions; "
        ).format(report.name, *numbers[0])
        after = "recentred, {:.3f}, {:.1%} and {:.1%}." if numbers[1:] else "it has collapsed and cannot be recentred."
        sentences.append((sentence + after.format(*numbers[-1])).replace("%", " %").replace("  %", " %"))
    return "\n\n".join(sentences)
