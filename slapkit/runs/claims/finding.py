"""What was found about one claim: figures, the verdict that follows from their intervals, and both in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from slapkit.metrics.protocol import markdown

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
    """One figure that a claim rests on, and the range in which the claim says that it lies.

    Attributes:
        what: in a few words, such as "R@10, text to audio, SLAP less CLAP".
        value, low, high: the figure and its 95 % interval, NaN where there is none.
        least, most: the claim holds if the whole interval lies within, and fails if all of it lies outside.
        unit: "points" (of percent), "percent", "distance", "ratio" or "share".
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
        """The verdict that follows from the interval."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return OPEN
        if self.low > self.least and self.high <= self.most:
            return HOLDS
        return FAILS if self.high < self.least or self.low > self.most else OPEN

    def words(self) -> str:
        """Return the figure with its interval, such as "+3.1 points (1.2 to 5.0)"."""
        scale, digits, suffix = _UNITS[self.unit]
        signed = "+" if self.unit in ("points", "distance") and self.least == 0 else ""
        text = f"{scale * self.value:{signed}.{digits}f}{suffix}"
        if math.isfinite(self.low) and math.isfinite(self.high):
            text += f" ({scale * self.low:.{digits}f} to {scale * self.high:.{digits}f}"
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
        evidence = [{k: _plain(v) for k, v in asdict(e).items()} | {"verdict": e.verdict} for e in self.evidence]
        fields = {"claim": self.claim, "source": self.source, "verdict": self.verdict}
        return fields | {"evidence": evidence, "missing": self.missing}


def words(*findings: Finding) -> str:
    """Return claims with what was found about them, a paragraph each, as Markdown."""
    return "\n\n".join(f"**{markdown(f.claim)}** {markdown(f.sentence)}" for f in findings)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many claims hold, do not, and cannot be told."""
    verdicts = [finding.verdict for finding in findings]
    return {verdict: verdicts.count(verdict) for verdict in (HOLDS, FAILS, OPEN)}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else float(value) if math.isfinite(value) else None
