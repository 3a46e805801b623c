"""Protocol cards: a figure never travels without what it was measured on, and unlike figures never share a column.

A `Score` is a value with its interval and its `Protocol`; scores are written to JSON and read back. A `Table` holds
scores by row and column. Within a column the protocols must be equal in every field, apart from those that the table
says its rows are about ("embedding", where q stands above z).
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from slapkit._io import atomic_write_json
from slapkit.config import Config, nearest
from slapkit.errors import MetricError


@dataclass(frozen=True)
class Protocol(Config):
    """How a figure was measured; fields that make no sense for a figure are empty.

    Attributes:
        data: name of the data set; `data_hash` its fingerprint.
        split: which part of it; `split_hash` names the clips themselves.
        queries, candidates: how many were ranked against how many.
        captions: which captions of a clip were used, and how.
        ties: how ties count.
        direction: "text_to_audio", "audio_to_text" or what else was asked of what.
        embedding: "q", "z" or "h", the representation before the projector.
        prompts: prompts of a zero-shot figure.
        seed: of everything random in measuring.
        interval: how the interval was made.
    """

    data: str
    data_hash: str
    split: str
    split_hash: str
    queries: int = 0
    candidates: int = 0
    captions: str = ""
    ties: str = "expected value over random orders"
    direction: str = ""
    embedding: str = ""
    prompts: str = ""
    seed: int = 0
    interval: str = ""


@dataclass(frozen=True)
class Score(Config):
    """A figure, the interval around it (NaN is kept as None), and how it was measured."""

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
    """How a column is written: recalls in percent with one decimal, distances with three."""

    name: str
    percent: bool = True
    digits: int = 1

    @property
    def title(self) -> str:
        return f"{self.name} (%)" if self.percent else self.name


class Table:
    """Scores by row and column, one protocol a column.

    Args:
        columns: in the order in which they are shown.
        vary: fields of the protocol in which the rows of a column may differ.

    Raises:
        MetricError: `vary` names no field of a protocol, or a column stands twice.
    """

    def __init__(self, columns: Sequence[Column], *, vary: Sequence[str] = ()) -> None:
        known = [field.name for field in fields(Protocol)]
        for name in vary:
            if name not in known:
                raise MetricError(f"vary={name!r} is no field of a protocol: {nearest(name, known)}")
        self.columns = {column.name: column for column in columns}
        if len(self.columns) < len(columns):
            raise MetricError(f"a column stands twice among {[column.name for column in columns]}")
        self.vary, self.rows = tuple(vary), {}

    def add(self, row: str, scores: Mapping[str, Score]) -> Table:
        """Add a row; columns that `scores` lacks stay empty.

        Raises:
            MetricError: an unknown column, a row that is there already, or a figure measured otherwise than the others
                of its column; every field that differs is named.
        """
        if row in self.rows:
            raise MetricError(f"the row {row!r} stands in the table already")
        for name, score in scores.items():
            if name not in self.columns:
                raise MetricError(f"there is no column {name!r}: {nearest(name, self.columns)}")
            for other, present in self.rows.items():
                if name in present:
                    self._require_alike(name, (other, present[name].protocol), (row, score.protocol))
                    break
        self.rows[row] = dict(scores)
        return self

    def _require_alike(self, column: str, one: tuple[str, Protocol], other: tuple[str, Protocol]) -> None:
        mine, theirs = one[1].to_dict(), other[1].to_dict()
        unlike = [f"{k} ({mine[k]!r} and {theirs[k]!r})" for k in mine if k not in self.vary and mine[k] != theirs[k]]
        if unlike:
            raise MetricError(
                f"{one[0]!r} and {other[0]!r} were not measured alike and cannot share the column {column!r}: they "
                f"differ in {', '.join(unlike)}; measure both alike, or give each a column of its own"
            )

    def cells(self) -> list[list[str]]:
        """Return the table as texts, its head first."""
        head = ["", *(column.title for column in self.columns.values())]
        rows = [
            [
                row,
                *(
                    scores[name].text(percent=column.percent, digits=column.digits) if name in scores else "\u2013"
                    for name, column in self.columns.items()
                ),
            ]
            for row, scores in self.rows.items()
        ]
        return [head, *rows]

    def to_markdown(self) -> str:
        """Return the table for Markdown, names escaped."""
        head, *rows = ([markdown(cell) for cell in row] for row in self.cells())
        lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_html(self) -> str:
        """Return the table for HTML, names escaped."""
        head, *rows = ([html.escape(cell) for cell in row] for row in self.cells())
        parts = [
            "<table>",
            "<thead><tr>",
            *(f'<th scope="col">{cell}</th>' for cell in head),
            "</tr></thead>",
            "<tbody>",
        ]
        for first, *rest in rows:
            parts.append(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>')
        return "\n".join([*parts, "</tbody>", "</table>"])

    def to_latex(self) -> str:
        """Return the table for LaTeX with booktabs' rules, names escaped."""
        head, *rows = ([_latex(cell) for cell in row] for row in self.cells())
        lines = [" & ".join(line) + r" \\" for line in (head, *rows)]
        columns = "l" + "r" * (len(head) - 1)
        body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
        return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"])

    def to_dict(self) -> dict[str, Any]:
        """Return all scores with their protocols, as JSON values."""
        return {row: {name: score.to_dict() for name, score in scores.items()} for row, scores in self.rows.items()}

    def write(self, path: str | Path) -> Path:
        """Write all scores with their protocols as JSON, in one step."""
        return atomic_write_json(Path(path), self.to_dict())


def read_scores(path: str | Path) -> dict[str, dict[str, Score]]:
    """Return the scores that `Table.write` wrote, by row and column.

    Raises:
        MetricError: the file is missing or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return {
            row: {name: Score.from_dict(score) for name, score in scores.items()} for row, scores in content.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise MetricError(f"{path} holds no table of scores: {error}") from error


_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>|#"} | {"\n": " ", "\r": " "})
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "\u2013": "--", "\n": " "}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
)


def markdown(text: str) -> str:
    """Return text as it can stand in Markdown, a table's cell included."""
    return text.translate(_MARKDOWN)


def _latex(text: str) -> str:
    return text.translate(_LATEX)
