"""An examination's result, and its page for a terminal, a notebook and a browser. All words are escaped."""

import dataclasses
import html
import math
import textwrap
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from slapkit._io import atomic_write_text, printable

Verdict = Literal["pass", "warn", "fail", "unknown"]
_TITLES = {
    "weights": "Weights", "as saved": "As it was saved", "front end": "Front end", "behaviour": "Behaviour",
    "space": "Embedding space",
}  # fmt: skip
# A mark and a word give the verdict too, for those who do not see the colour.
_MARKS = {"unknown": "? unknown", "pass": "\u2713 pass", "warn": "! warn", "fail": "\u2717 fail"}  # least to worst
_WIDTH = 100  # columns of a terminal


@dataclass(frozen=True)
class Check:
    """A finding: `figure` (NaN where nothing could be measured) fails at `limit`; `words` say what was found."""

    group: str
    name: str
    verdict: Verdict
    figure: float
    limit: float
    words: str
    remedy: str = ""


@dataclass(frozen=True)
class Examination:
    """What the doctor found: `checks`, and `subject`, the name of what was examined. A notebook shows it as a page."""

    subject: str
    checks: list[Check] = field(default_factory=list)
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of all verdicts; unknown ones count least."""
        return max((check.verdict for check in self.checks), key=list(_MARKS).index, default="unknown")

    def check(self, name: str) -> Check:
        """Return one check by its name; a `KeyError` says that there is none."""
        return {check.name: check for check in self.checks}[name]

    def groups(self) -> dict[str, list[Check]]:
        """Return the checks by the title of their group, in the order of the page."""
        found = {title: [c for c in self.checks if c.group == group] for group, title in _TITLES.items()}
        return {title: checks for title, checks in found.items() if checks}

    def answer(self) -> str:
        """Return the result in one sentence, and what is to be said of the model's captions in another."""
        return f"{self._answer()} Note: {self.note}." if self.note else self._answer()

    def _answer(self) -> str:
        named = {verdict: [c.name for c in self.checks if c.verdict == verdict] for verdict in _MARKS}
        unknown = f"; {len(named['unknown'])} unknown" if named["unknown"] else ""
        if named["fail"]:
            doubtful = f"; doubtful: {', '.join(named['warn'])}" if named["warn"] else ""
            return f"This model is broken: {', '.join(named['fail'])} failed{doubtful}."
        if named["warn"]:
            return f"This model works, but look at {', '.join(named['warn'])}{unknown}."
        return f"This model is healthy: {len(named['pass'])} checks passed{unknown}."

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; figures that are not finite are None."""
        checks = [dataclasses.asdict(check) for check in self.checks]
        for values in checks:
            values |= {key: None for key in ("figure", "limit") if not math.isfinite(values[key])}
        return {"subject": self.subject, "verdict": self.verdict, "checks": checks}

    def text(self) -> str:
        """Return the page for a terminal, in lines of at most 100 columns."""
        lines = [printable(f"{self.subject}: {self.verdict}"), "", *textwrap.wrap(printable(self.answer()), _WIDTH)]
        for title, checks in self.groups().items():
            lines += ["", title]
            for check in checks:
                head = f"  {_MARKS[check.verdict]:<14} {check.name:<21} "
                words = [check.words, f"What to do: {check.remedy}"] if check.remedy else [check.words]
                wrapped = [line for part in words for line in textwrap.wrap(printable(part), _WIDTH - len(head))]
                lines += [head + " ".join(wrapped[:1]), *(" " * len(head) + line for line in wrapped[1:])]
        return "\n".join(lines)

    __str__ = text

    def write_html(self, path: str | Path) -> Path:
        """Write the page as one HTML file that asks nothing of the network, and return its path."""
        title = html.escape(f"{self.subject}: {self.verdict}")
        page = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        return atomic_write_text(
            path, f"{page}<style>:root {{ color-scheme: light dark; }}</style>{self._repr_html_()}"
        )

    def _repr_html_(self) -> str:
        columns = ("Verdict", "Check", "Figure", "Fails at", "What was found")
        head = "".join(f'<th scope="col"{_NUMBER if name in columns[2:4] else ""}>{name}</th>' for name in columns)
        groups = "".join(
            f'<tbody><tr class="group"><th colspan="5" scope="rowgroup">{title}</th></tr>{"".join(map(_row, checks))}'
            for title, checks in self.groups().items()
        )
        intro = f"<p><b>{html.escape(self.answer())}</b><br>{html.escape(self.subject)}</p>"
        table = f"<table><thead><tr>{head}</tr></thead>{groups}</table>"
        css = (files("slapkit.hub.doctor") / "report.css").read_text(encoding="utf-8")
        return f'<style>{css}</style><div class="slap-doctor mathjax_ignore">{intro}{table}</div>'


_NUMBER = ' class="number"'


def _row(check: Check) -> str:
    remedy = f"<br><b>What to do:</b> {html.escape(check.remedy)}" if check.remedy else ""
    figures = "".join(f"<td{_NUMBER}>{value:.3g}</td>" for value in (check.figure, check.limit))
    return (
        f'<tr><td class="verdict {check.verdict}">{_MARKS[check.verdict]}</td>'
        f'<th scope="row">{html.escape(check.name)}</th>{figures}<td>{html.escape(check.words)}{remedy}</td></tr>\n'
    )
