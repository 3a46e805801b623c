"""What was found about one claim: the figures, the verdict that follows from their intervals, and both in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["holds", "does not hold", "cannot be told"]
HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"


@dataclass(frozen=True)
class Evidence:
    """One figure that a claim rests on, and the range in which the claim says that it lies.

    Attributes:
        what: in a few words, such as "R@10, text to audio, SLAP less CLAP".
        value, low, high: the figure and its 95 % interval, NaN where there is none.
        least, most: the claim holds if the whole interval lies within, and fails if all of it lies outside.
        unit: "points" (of percent), "distance", "ratio", "share" or "dimensions".
        p_value: of the hypothesis that there is no difference, NaN where it is not one.
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
        """Say what follows from the interval."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return OPEN
        if self.low > self.least and self.high <= self.most:
            return HOLDS
        if self.high < self.least or self.low > self.most:
            return FAILS
        return OPEN

    def words(self) -> str:
        """Return the figure with its interval, such as "+3.1 points (1.2 to 5.0)"."""
        scale, digits, unit = {
            "points": (100, 1, " points"),
            "percent": (100, 1, " %"),
            "distance": (1, 3, ""),
            "ratio": (1, 3, " times"),
            "share": (100, 0, " %"),
            "dimensions": (1, 1, " dimensions"),
        }[self.unit]
        signed = "+" if self.unit in ("points", "distance", "dimensions") and self.least == 0 else ""
        text = f"{scale * self.value:{signed}.{digits}f}{unit}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            text += f" ({scale * self.low:.{digits}f} to {scale * self.high:.{digits}f}"
            # Of 10,000 arrangements none was more extreme: less than can be told.
            p = f"{self.p_value:.3f}" if self.p_value >= 0.0005 else "below 0.001"
            text += f"; p {p})" if math.isfinite(self.p_value) else ")"
        return text.replace("-", "\u2212")


@dataclass(frozen=True)
class Finding:
    """A claim, where the paper makes it, and what was found here.

    Attributes:
        key: short name, such as "gap".
        claim: the claim in one sentence.
        source: where it stands in the paper.
        evidence: what it rests on; empty where nothing could be measured.
        missing: why something could not be measured, empty if all was.
    """

    key: str
    claim: str
    source: str
    evidence: tuple[Evidence, ...]
    missing: str = ""

    @property
    def verdict(self) -> Verdict:
        """A claim holds if all its evidence says so, and does not if one piece says so."""
        told = [one.verdict for one in self.evidence]
        if FAILS in told:
            return FAILS
        return HOLDS if told and not self.missing and set(told) == {HOLDS} else OPEN

    @property
    def sentence(self) -> str:
        """Return in one sentence what was found (plain text)."""
        said = {HOLDS: "Holds here", FAILS: "Does not hold here", OPEN: "Cannot be told here"}[self.verdict]
        parts = [f"{one.what} {one.words()}" for one in self.evidence]
        return f"{said}: {'; '.join([*parts, *([self.missing] if self.missing else [])])}."

    def to_dict(self) -> dict[str, Any]:
        """Return the finding for `metrics.json`, NaN as None."""
        evidence = [
            {
                "what": one.what,
                "verdict": one.verdict,
                "unit": one.unit,
                **{k: _finite(getattr(one, k)) for k in ("value", "low", "high", "least", "most", "p_value")},
            }
            for one in self.evidence
        ]
        return {
            "claim": self.claim,
            "source": self.source,
            "verdict": self.verdict,
            "evidence": evidence,
            "missing": self.missing,
        }


def words(*findings: Finding) -> str:
    """Return what was found about some claims, a paragraph each, for Markdown."""
    from slapkit.metrics.protocol import markdown

    return "\n\n".join(f"**{markdown(f.claim)}** {markdown(f.sentence)}" for f in findings)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many claims hold, do not, and cannot be told."""
    told = [finding.verdict for finding in findings]
    return {verdict: told.count(verdict) for verdict in (HOLDS, FAILS, OPEN)}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
