"""Tables of figures with their protocols: a figure names what it was measured on, and a column takes one protocol."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from slapkit._io import atomic_write_json
from slapkit.config import Config, nearest
from slapkit.errors import MetricError


@dataclass(frozen=True)
class Protocol(Config):
    """How a figure was measured; fields that make no sense for a figure are empty."""

    data: str
    data_hash: str  # the data set's fingerprint
    split: str
    split_hash: str  # names the clips themselves
    queries: int = 0
    candidates: int = 0
    captions: str = ""  # which of a clip were used, and how
    ties: str = "expected value over random orders"
    direction: str = ""
    embedding: str = ""  # "q", "z" or "h", the representation before the projector
    prompts: str = ""
    seed: int = 0  # of everything random in measuring
    interval: str = ""  # how it was made


@dataclass(frozen=True)
class Score(Config):
    """A figure, the interval around it (None where there is none), and how it was measured."""

    value: float
    protocol: Protocol
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Sequence[float], protocol: Protocol) -> Self:
        """Return the score of a (value, low, high) such as `slapkit.metrics.intervals.Interval`."""
        value, low, high = (float(x) for x in interval)
        return cls(value, protocol, *(x if math.isfinite(x) else None for x in (low, high)))

    def text(self, *, percent: bool, digits: int) -> str:
        """Return the value with its interval, as "66.0 (63.1-68.9)"."""
        scale = 100.0 if percent else 1.0
        shown = f"{scale * self.value:.{digits}f}"
        if self.low is None or self.high is None:
            return shown
        return f"{shown} ({scale * self.low:.{digits}f}\u2013{scale * self.high:.{digits}f})"


@dataclass(frozen=True)
class Column:
    """A column of a table: recalls in percent with one decimal, distances with three."""

    name: str
    percent: bool = True
    digits: int = 1


class Table:
    """Scores by row and column; `vary` are fields of the protocol in which the rows of a column may differ."""

    def __init__(self, columns: Sequence[Column], *, vary: Sequence[str] = ()) -> None:
        self.columns = {column.name: column for column in columns}
        self.vary, self.rows = tuple(vary), {}

    def add(self, row: str, scores: Mapping[str, Score]) -> Self:
        """Add a row; columns that `scores` lacks stay empty. Raise `MetricError` for an unknown column, a row that is
        there already, or a figure measured otherwise than the others of its column, naming every field that differs."""
        if row in self.rows:
            raise MetricError(f"the table has a row {row!r} already")
        for name, score in scores.items():
            if name not in self.columns:
                raise MetricError(f"there is no column {name!r}: {nearest(name, self.columns)}")
            for other in [other for other, present in self.rows.items() if name in present][:1]:
                ours, theirs = score.protocol.to_dict(), self.rows[other][name].protocol.to_dict()
                differing = [k for k in ours if ours[k] != theirs[k] and k not in self.vary]
                if unlike := ", ".join(f"{k} ({theirs[k]!r} and {ours[k]!r})" for k in differing):
                    raise MetricError(
                        f"{other!r} and {row!r} cannot share the column {name!r}: they differ in {unlike}; "
                        "measure both alike, or give each a column of its own"
                    )
        self.rows[row] = dict(scores)
        return self

    def cells(self) -> list[list[str]]:
        """Return the table as texts, its head first."""
        table = [["", *(f"{one.name} (%)" if one.percent else one.name for one in self.columns.values())]]
        for row, scores in self.rows.items():
            shown = [
                scores[name].text(percent=column.percent, digits=column.digits) if name in scores else "\u2013"
                for name, column in self.columns.items()
            ]
            table.append([row, *shown])
        return table

    def to_markdown(self) -> str:
        """Return the table for Markdown, names escaped."""
        head, *rows = ([markdown(cell) for cell in row] for row in self.cells())
        lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_latex(self) -> str:
        """Return the table for LaTeX with booktabs' rules, names escaped."""
        lines = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in self.cells()]
        columns = "l" + "r" * len(self.columns)
        body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
        return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"])

    def write(self, path: str | Path) -> Path:
        """Write all scores with their protocols as JSON."""
        rows = {row: {name: score.to_dict() for name, score in scores.items()} for row, scores in self.rows.items()}
        return atomic_write_json(Path(path), rows)


_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>|#"} | {"\n": " ", "\r": " "})
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "\u2013": "--", "\n": " "}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
)


def markdown(text: str) -> str:
    """Return text escaped for Markdown, a table's cell included."""
    return text.translate(_MARKDOWN)
