"""One finding of the doctor: what was looked at, the verdict with its figure, and what to do about it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["pass", "warn", "fail", "unknown"]


@dataclass(frozen=True)
class Check:
    """A finding.

    Attributes:
        name: short and fixed, such as "text spread".
        verdict: "pass", "warn", "fail", or "unknown" where it cannot be told.
        figure: what was measured; NaN where nothing could be.
        limit: the value at which `figure` would fail.
        words: what was found, in a sentence.
        remedy: what to do about it; empty where nothing need be done.
    """

    name: str
    verdict: Verdict
    figure: float
    limit: float
    words: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; a figure that is not finite becomes None."""
        values = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def judged(
    name: str, figure: float, *, warn: float, fail: float, words: str, remedy: str, less_is_worse: bool = False
) -> Check:
    """Return the check of a figure: it warns from `warn` on and fails from `fail` on; NaN fails.

    Args:
        less_is_worse: figures below the limits are the bad ones.
    """
    sign = -1.0 if less_is_worse else 1.0
    if not sign * figure < sign * fail:  # NaN too
        verdict = "fail"
    else:
        verdict = "warn" if sign * figure >= sign * warn else "pass"
    return Check(name, verdict, float(figure), float(fail), words, "" if verdict == "pass" else remedy)


def unknown(name: str, why: str) -> Check:
    """Return the check that cannot be made, and why."""
    return Check(name, "unknown", math.nan, math.nan, why)
