"""The page of an examination, for a terminal, a notebook and a browser. All words are escaped."""

from __future__ import annotations

import html
import math
import textwrap
from typing import TYPE_CHECKING

from slapkit.viz import theme

if TYPE_CHECKING:
    from slapkit.hub.doctor.check import Check
    from slapkit.hub.doctor.examination import Examination

MARKS = {"pass": "\u2713", "warn": "!", "fail": "\u2717", "unknown": "?"}
_SHOWN = {"pass": "pass", "warn": "warn", "fail": "fail", "unknown": "cannot tell"}
_TITLES = {
    "weights": "Weights",
    "as saved": "As it was saved",
    "front end": "Front end",
    "behaviour": "Behaviour",
    "space": "Embedding space",
}
_WIDTH = 100  # columns of a terminal

# Red means warning everywhere; a mark and a word say the verdict a second time, for those who do not see the colour.
_CSS = """
.slap-doctor { font-family: var(--jp-ui-font-family, var(--slap-font)); color: var(--jp-content-font-color1, var(--slap-text)); font-size: 14px; line-height: 1.45; }
.slap-doctor tr.group th { font-size: 16px; padding-top: 18px; }
.slap-doctor p { margin: 4px 0; max-width: 90ch; overflow-wrap: anywhere; }
.slap-doctor .answer { font-size: 16px; }
.slap-doctor .wide { overflow-x: auto; }
.slap-doctor table { border-collapse: collapse; width: 100%; max-width: 1180px; table-layout: auto; }
.slap-doctor th, .slap-doctor td { text-align: left !important; vertical-align: top; padding: 5px 14px 5px 0; white-space: normal; background: none; border-bottom: 1px solid var(--jp-border-color2, var(--slap-grid)); }
.slap-doctor th { font-weight: 600; }
.slap-doctor th.number, .slap-doctor td.number { text-align: right !important; white-space: nowrap; font-variant-numeric: tabular-nums; }
@media (max-width: 800px) { .slap-doctor .number { display: none; } }
.slap-doctor td.words { min-width: 260px; overflow-wrap: anywhere; }
.slap-doctor .soft, .slap-doctor .verdict.unknown { color: var(--jp-content-font-color2, var(--slap-soft)); }
.slap-doctor .verdict { white-space: nowrap; font-weight: 600; }
.slap-doctor .verdict b { display: inline-block; width: 1.5em; margin-right: .4em; text-align: center; border-radius: 4px; border: 1px solid currentColor; }
.slap-doctor .verdict.warn b { color: var(--slap-warning); }
.slap-doctor .verdict.fail { color: var(--slap-warning); }
.slap-doctor .verdict.fail b { color: #fff; border-color: var(--slap-warning); background: repeating-linear-gradient(45deg, var(--slap-warning) 0 5px, color-mix(in srgb, var(--slap-warning) 80%, #000) 5px 8px); }
@media (prefers-color-scheme: dark) { .slap-doctor .verdict.fail, .slap-doctor .verdict.warn b { color: #FF8088; } .slap-doctor .verdict.fail b { color: #fff; } }
[data-jp-theme-light="false"] .slap-doctor .verdict.fail, [data-jp-theme-light="false"] .slap-doctor .verdict.warn b { color: #FF8088; }
[data-jp-theme-light="false"] .slap-doctor .verdict.fail b { color: #fff; }
"""  # noqa: E501


def answer(examination: Examination) -> str:
    """Return in one sentence what the examination says."""
    named = {verdict: [c.name for c in examination.checks if c.verdict == verdict] for verdict in MARKS}
    total = len(examination.checks) - len(named["unknown"])
    untold = f"; {len(named['unknown'])} could not be told" if named["unknown"] else ""
    if named["fail"]:
        also = f", and {', '.join(named['warn'])} {_is(named['warn'])} doubtful" if named["warn"] else ""
        return f"This model is broken: {', '.join(named['fail'])} failed{also}."
    if named["warn"]:
        return f"This model works, but look at {', '.join(named['warn'])}{untold}."
    return f"This model is healthy: {total} checks passed{untold}."


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def number(value: float) -> str:
    """Return a figure by three digits; an en dash where there is none."""
    if not math.isfinite(value):
        return "\u2013" if math.isnan(value) else "\u221e"
    return f"{value:.3g}"


def as_text(examination: Examination) -> str:
    """Return the page for a terminal, in lines of at most 100 columns."""
    from slapkit._io import printable

    lines = [printable(f"{examination.subject}: {examination.verdict}"), ""]
    lines += [*textwrap.wrap(printable(answer(examination)), _WIDTH), ""]
    for group, checks in examination.groups().items():
        lines.append(_TITLES[group])
        for check in checks:
            head = f"  {MARKS[check.verdict]} {_SHOWN[check.verdict]:<11} {check.name:<20} "
            words = textwrap.wrap(printable(check.words), _WIDTH - len(head)) or [""]
            lines.append(head + words[0])
            lines += [" " * len(head) + line for line in words[1:]]
            if check.remedy:
                told = textwrap.wrap(f"What to do: {printable(check.remedy)}", _WIDTH - len(head))
                lines += [" " * len(head) + line for line in told]
        lines.append("")
    return "\n".join(lines).rstrip()


def as_html(examination: Examination) -> str:
    """Return the page as a fragment for a notebook, with its own style."""
    style = f"<style>{theme.css_variables()}{_CSS}</style>"
    return f'{style}<div class="slap-doctor mathjax_ignore">{_body(examination)}</div>'


def as_page(examination: Examination) -> str:
    """Return the page as a whole HTML document."""
    title = html.escape(f"{examination.subject}: {examination.verdict}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n"
        "body { margin: 0; background: var(--slap-paper); color: var(--slap-text); }\n"
        "main { max-width: 1240px; margin: 0 auto; padding: 24px 32px 64px; }\n</style>\n</head>\n"
        f"<body>\n<main>\n{as_html(examination)}\n</main>\n</body>\n</html>\n"
    )


def _body(examination: Examination) -> str:
    parts = [
        f'<p class="answer">{_verdict(examination.verdict)} {html.escape(answer(examination))}</p>',
        f'<p class="soft">{html.escape(examination.subject)}</p>',
    ]
    columns = ("Verdict", "Check", "Figure", "Fails at", "What was found")
    # Narrow pages leave the figures out: the words tell them too.
    number_of = {"Figure": ' class="number"', "Fails at": ' class="number"'}
    head = "".join(f'<th scope="col"{number_of.get(what, "")}>{what}</th>' for what in columns)
    groups = "".join(
        f'<tbody><tr class="group"><th colspan="{len(columns)}" scope="rowgroup">{_TITLES[group]}</th></tr>'
        f"{''.join(map(_row, checks))}</tbody>"
        for group, checks in examination.groups().items()
    )
    parts.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead>{groups}</table></div>')
    return "\n".join(parts)


def _row(check: Check) -> str:
    remedy = f"<br><b>What to do:</b> {html.escape(check.remedy)}" if check.remedy else ""
    return (
        f'<tr><td>{_verdict(check.verdict)}</td><th scope="row">{html.escape(check.name)}</th>'
        f'<td class="number">{number(check.figure)}</td><td class="number soft">{number(check.limit)}</td>'
        f'<td class="words">{html.escape(check.words)}{remedy}</td></tr>\n'
    )


def _verdict(verdict: str) -> str:
    return f'<span class="verdict {verdict}"><b aria-hidden="true">{MARKS[verdict]}</b>{_SHOWN[verdict]}</span>'
