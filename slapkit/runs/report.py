"""`runs/index.html`: the newest comparable runs side by side, and every run with its notebook.

The page contains plotly.js and needs no network. Texts of runs and data are escaped: by jinja2 in the page, by
`json_for_script` in the figures.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from slapkit._io import atomic_write_text, locate, read_json_lines
from slapkit.errors import RunError, SlapkitError
from slapkit.metrics.intervals import Comparison
from slapkit.metrics.summary import (
    DASH,
    DIRECTIONS,
    averaged,
    chance,
    decimals,
    dig,
    label,
    main_figures,
    number,
    one_decimal,
    percent,
    ranged,
    words,
)
from slapkit.runs import record as records
from slapkit.runs.claims.estimate import compare
from slapkit.runs.claims.measure import measure
from slapkit.runs.compare import comparable, differences, objective_of
from slapkit.runs.data import data_of_run
from slapkit.runs.parameters import read_notebook
from slapkit.runs.record import Run, by_seed, list_runs
from slapkit.viz import figures, theme
from slapkit.viz.figures.style import joined
from slapkit.viz.text import json_for_script

PAGES = {"map.html": "The map", "searches.html": "Searches"}  # pages of runs, shown within the report
# (what, keys in metrics.json, how it is written, 1 where more is better, -1 where less is)
ROWS = [
    *(
        (f"{way} {measure}", ("retrieval", "q", direction, measure), percent, 1)
        for direction, way in (("text_to_audio", "Text to audio"), ("audio_to_text", "Audio to text"))
        for measure in ("R@1", "R@5", "R@10")
    ),
    ("Text to audio median rank (of candidates)", ("retrieval", "q", "text_to_audio", "median_rank"), percent, -1),
    ("Audio to text median rank (of candidates)", ("retrieval", "q", "audio_to_text", "median_rank"), percent, -1),
    ("Text to audio R@10 from projections z", ("retrieval", "z", "text_to_audio", "R@10"), percent, 1),
    ("Distance of the centroids", ("gap", "centroid_distance"), decimals, -1),
    ("Linear separability (chance 50 %)", ("gap", "linear_separability"), percent, -1),
    ("Effective rank (dimensions)", ("health", "effective_rank"), one_decimal, 1),
    ("Training time (s)", ("training", "time_s"), lambda v: decimals(v, 0), -1),
]
_MEASURED = {"centroid_distance": "distance", "linear_separability": "separability"}


def pair_of(runs: Sequence[Run]) -> list[Run]:
    """Return the two runs whose differences are shown: all, if there are two, else SLAP and CLAP, if there are both."""
    both = [run for run in runs if len(runs) == 2 or objective_of(run) in ("slap", "clap")]
    return both if len(both) == 2 else []


def intervals(pair: Sequence[Run], *, progress: bool = True) -> tuple[dict[tuple[str, ...], Comparison], str]:
    """Return by the keys of `ROWS` how much larger figures are for the first of two runs, with their intervals over
    works and seeds; or none, and why.

    What is measured for them is kept beside the models.
    """
    if not pair:
        return {}, ""
    root = pair[0].folder.parents[2]
    try:
        dataset = data_of_run(pair[0].record, root, progress=progress)
        tested = next(part for part in dataset.parts.values() if "test" in part.splits)
        given = {"cache_dir": root / "data" / "cache", "detail": False}
        shown = {"unit": "model", "disable": not progress, "leave": False}
        bars = (tqdm(by_seed(run), f"Measuring {label(run.record)}", **shown) for run in pair)
        ours, theirs = ([measure(one, tested, **given) for one in bar] for bar in bars)
        names = {keys: ".".join(("q", _MEASURED.get(keys[-1], keys[-1]))) for _, keys, *_ in ROWS}
        names |= {keys: ".".join(keys[1:]) for keys in names if keys[0] == "retrieval"}
        return {k: compare(ours, theirs, name) for k, name in names.items() if name in ours[0].figures}, ""
    except SlapkitError as error:
        return {}, f"Differences are without intervals: {error}"


def table(runs: Sequence[Run], apart: Mapping[tuple[str, ...], Comparison] | None = None) -> list[dict[str, Any]]:
    """Return the rows that set `runs` side by side: texts, the column of the best, and the difference of `pair_of`
    with its interval where `apart` has it."""
    rows, pair = [], pair_of(runs)
    for what, keys, write, sign in ROWS:
        values = [number(dig(averaged(run.metrics), *keys)) for run in runs]
        known = [v for v in values if v is not None]
        if not known:
            continue
        best = max(known, key=lambda v: sign * v) if len(set(known)) > 1 else None
        difference, two = DASH, [value for value, run in zip(values, runs) if run in pair]
        if len(two) == 2 and None not in two:
            difference = _signed(two[0] - two[1], write)
            if keys in (apart or {}) and math.isfinite(apart[keys].low):
                ends = " to ".join(_signed(end, write) for end in apart[keys][1:3])
                difference += f" ({ends.replace(' points', '')})"
        texts = [ranged(run.metrics, *keys, write=write) for run in runs]
        cells = [{"text": text, "best": best is not None and v == best} for text, v in zip(texts, values)]
        rows.append({"what": what, "cells": cells, "difference": difference})
    return rows


def _signed(value: float, write: Callable[[Any], str]) -> str:
    text = write(abs(value))
    nonzero = any(digit in text for digit in "123456789")
    sign = "±" if not nonzero else "+" if value > 0 else "−"
    return f"{sign}{text.replace(' %', ' points') if write is percent else text}"


def figures_of(runs: Sequence[Run]) -> list[Any]:
    """Return the figures that compare `runs`."""
    metrics = {objective_of(run): averaged(run.metrics) for run in runs}
    histories = {objective_of(run): read_json_lines(run.folder / "checkpoint" / "train.jsonl")[0] for run in runs}
    drawn = [figures.retrieval_bars(metrics, direction) for direction in DIRECTIONS]
    drawn += [figures.gap_bars(metrics), figures.rank_bars(metrics)]
    if any(figures.curve(rows, "validation.R@10")[0] for rows in histories.values()):
        drawn += [figures.recall_curves(histories), figures.rank_curves(histories)]
    if any(figures.curve(rows, "loss")[0] for rows in histories.values()):
        drawn.append(figures.loss_curves(histories))
    return drawn


def sections(runs: Sequence[Run], root: Path) -> list[dict[str, Any]]:
    """Return the newest finished run of each notebook that trains nothing, with its figures as JSON and its pages below
    `root`; `runs` are the oldest first."""
    newest = {
        run.record["notebook"]: run for run in runs if run.record["status"] == "done" and "retrieval" not in run.metrics
    }
    found = []
    for _, run in sorted(newest.items()):
        folder, page = run.folder / "figures", export_notebook(run.folder)
        drawn = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))]
        pictures = [(p.stem, base64.b64encode(p.read_bytes()).decode()) for p in sorted(folder.glob("*.svg"))]
        frames = [
            (_below(root, run.folder / name), what) for name, what in PAGES.items() if (run.folder / name).is_file()
        ]
        if drawn or pictures or frames:
            about = {"title": _question(run.folder), "page": page and _below(root, page)}
            found.append(about | {"figures": drawn, "pictures": pictures, "frames": frames})
    return found


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _question(folder: Path) -> str:
    """Return the first heading of a run's notebook: the question that it answers."""
    path = folder / "notebook.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.is_file() else []
    lines = (line for cell in cells for line in "".join(cell["source"]).splitlines())
    return next((line[2:].strip() for line in lines if line.startswith("# ")), folder.parent.name)


def export_notebook(folder: Path) -> Path | None:
    """Write a run's executed notebook as `notebook.html` beside it, unless it is there; return its path."""
    source, page = folder / "notebook.ipynb", folder / "notebook.html"
    if not source.is_file():
        return None
    if page.is_file() and page.stat().st_mtime >= source.stat().st_mtime:
        return page
    from nbconvert import HTMLExporter

    # The page works without the network: nothing is fetched.
    addresses = ("require_js_url", "mathjax_url", "jquery_url", "mermaid_js_url", "html_manager_semver_range")
    exporter = HTMLExporter(embed_images=True, **{k: "" for k in addresses if k in HTMLExporter.class_traits()})
    resources = {"metadata": {"name": f"{folder.parent.name} {folder.name}"}}
    try:
        notebook = read_notebook(source)
    except RunError:
        return None  # a run killed while its notebook was written
    return atomic_write_text(page, exporter.from_notebook_node(notebook, resources=resources)[0])


def answer(runs: Sequence[Run]) -> str:
    """Return what the comparison says, in sentences that need no knowledge of the field."""
    if not runs:
        return "No finished training run yet: `slapkit run 02_train` makes one."
    found, gaps = [], []
    for run in runs:
        metrics, name = averaged(run.metrics), label(run.record)
        found.append(f"{percent(dig(metrics, 'retrieval', 'q', 'text_to_audio', 'R@10'))} ({name})")
        gaps.append(f"{decimals(dig(metrics, 'gap', 'centroid_distance'))} ({name})")
    clips = number(dig(runs[0].metrics, "protocol", "candidates")) or 0
    notes = dict.fromkeys(note for run in runs if (note := run.record.get("data_note")))
    said = [
        "A model places music and sentences in one space, in which a sentence should lie beside the music it describes",
        f"Out of {clips:,.0f} clips that training never met, the right one is among the first ten for {joined(found)} "
        f"of the captions; a guess finds it for {percent(chance(runs[0].metrics))}",
        f"All clips lie apart from all captions by {joined(gaps)}: 0 is one common space, 2 the most there can be",
        *(note[0].upper() + note[1:] for note in notes),
    ]
    return ". ".join(said) + "."


def _described(run: Run, root: Path) -> dict[str, Any]:
    """Return what the list of runs shows of one run."""
    record = run.record
    page, notebook = export_notebook(run.folder), run.folder / "notebook.ipynb"
    failure = record.get("failure") or {}
    parameters = {k: v for k, v in record.get("parameters", {}).items() if v is not None}
    return {
        "name": f"{record['notebook']} / {run.folder.name}",
        "label": label(record),
        "objective": objective_of(run),
        "status": record["status"],
        "page": page and _below(root, page),
        "notebook": _below(root, notebook) if notebook.is_file() else None,
        "record": _below(root, run.folder / records.RECORD),
        "started": record.get("started", ""),
        "wall": DASH if record.get("wall_s") is None else f"{record['wall_s']:,.0f} s",
        "parameters": ", ".join(f"{k}={v}" for k, v in parameters.items()),
        "failure": f"cell {failure.get('index')}: {failure.get('error')}: {failure.get('message')}" if failure else "",
        # A number and its percent sign stay on one line.
        "lines": [line.replace(" %", "\u00a0%") for line in main_figures(run.record, run.metrics)],
    }


def _conditions(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return under which conditions the compared runs were made, for the page's last table."""
    if not runs:
        return []
    record, protocol = runs[0].record, runs[0].metrics.get("protocol", {})
    machine = record.get("machine", {})
    memory = number(machine.get("memory_bytes"))
    parameters = {k: v for k, v in record["parameters"].items() if v is not None and k != "objective"}
    seeds = dig(runs[0].metrics, "seeds", "seeds")
    means = (
        [("Figures", f"means over the seeds {words(seeds)}; in brackets the least and the greatest")] if seeds else []
    )
    gib = decimals(memory and memory / 2**30, 0)
    return [
        ("Machine", f"{machine.get('cpu')}, {machine.get('cores')} cores, {gib} GiB"),
        ("Accelerators", ", ".join(machine.get("accelerators") or []) or "none"),
        ("System", str(machine.get("system"))),
        ("Parameters", ", ".join(f"{k}={v}" for k, v in parameters.items())),
        *means,
        ("Differences", "; ".join(differences([run.folder for run in runs])) or "none but the objective"),
        ("Data fingerprint", str(record.get("data_fingerprint"))),
        ("Commit", f"{record.get('commit')}{' with changes' if record.get('dirty') else ''}"),
        ("Packages", ", ".join(f"{k} {v}" for k, v in record.get("packages", {}).items())),
        *((f"Protocol: {key}", words(value)) for key, value in protocol.items()),
    ]


def write_report(runs_dir: str | Path = "runs", *, progress: bool = True) -> tuple[Path, list[str]]:
    """Write `index.html` into `runs_dir` from the runs there; return its path and the main figures as lines. Raise
    `RunError` where there are no runs."""
    import jinja2
    from plotly.offline import get_plotlyjs

    root = locate(runs_dir).resolve()
    runs = list_runs(root)
    if not runs:
        raise RunError(f"no runs in {root}: `slapkit run 02_train` makes one")
    best, others = comparable(runs), sections(runs, root)
    pair = pair_of(best)
    known, unknown = intervals(pair, progress=progress)
    drawn = [figure.to_json() for figure in (figures_of(best) if best else ())]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string((Path(__file__).parent / "report.html").read_text(encoding="utf-8")).render(
        title=" and ".join(label(r.record) for r in best) or "Runs",
        answer=answer(best),
        written=records.now()[:16].replace("T", " ") + " UTC",
        columns=[_described(run, root) for run in best],
        rows=table(best, known),
        pair=[label(run.record) for run in pair],
        note=unknown or ("In brackets behind a difference its interval of 95 % over works and seeds." if known else ""),
        compared=len(drawn),
        sections=others,
        figures=[json_for_script(text) for text in [*drawn, *(text for o in others for text in o["figures"])]],
        templates=json_for_script({n: theme.template(n).to_plotly_json() for n in ("slapkit", "slapkit dark")}),
        recolor=json_for_script({theme.OBJECTIVE[k]: v for k, v in theme.DARK_OBJECTIVE.items()}),
        conditions=_conditions(best),
        runs=[_described(run, root) for run in reversed(runs)],
        css=theme.css_variables(),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )
    lines = [line for run in best for line in main_figures(run.record, run.metrics)]
    return atomic_write_text(root / "index.html", page), lines
