"""The report: a Markdown page with the table of claims, pictures and the paper's tables, and the findings as JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from slapkit._io import atomic_write_bytes, atomic_write_json, atomic_write_text
from slapkit.metrics.protocol import Column, Table, markdown
from slapkit.metrics.zero_shot import PROMPTS
from slapkit.runs import record as records
from slapkit.runs.claims.charts import charts, forest
from slapkit.runs.claims.claims import FAILS, HOLDS, OPEN, Finding, counts
from slapkit.runs.claims.estimate import Measured, score
from slapkit.runs.claims.measure import STAGES
from slapkit.runs.claims.plan import NAMES, Size
from slapkit.runs.claims.results import Results
from slapkit.runs.sweeps import Sweep
from slapkit.viz.figures.claims import claim_chart, claim_forest

SECTIONS = (
    ("Retrieval", ("retrieval",), ("retrieval", "q-against-z")),
    ("The gap", ("gap", "separability"), ("microscope",)),
    ("Zero-shot and probing", (), ("zero-shot", "prompts", "probing")),
    ("Length of training", ("steps",), ()),
    ("Batch size", ("batch", "memory"), ()),
    ("lam and tau", ("lam", "lam-gap", "tau"), ()),
)


Cells = dict[str, str]  # title of a column -> name of the figure
_WAYS = {"text_to_audio": "T→A", "audio_to_text": "A→T"}


def _retrieval(kind: str) -> Cells:
    names = {"R@1": "R@1", "R@5": "R@5", "R@10": "R@10", "mean rank": "mean_rank"}
    return {f"{words} {what}": f"{kind}.{way}.{n}" for way, words in _WAYS.items() for what, n in names.items()}


_LABELLED = [
    ("style", "accuracy"),
    *((task, m) for task in ("instruments", "tags") for m in ("ROC-AUC", "mAP", "mAR")),
]
_OF_ALL_MODELS: dict[str, Cells] = {
    "retrieval": _retrieval("q"),
    "zero-shot": {
        f"{task} {metric}, {how}": f"zero.{task}.{metric}.{how}"
        for task, metric in _LABELLED
        for how in (("best", "mean", "ensemble") if metric in ("accuracy", "mAP") else ("best", "ensemble"))
    },
    "prompts": {  # every prompt alone
        f"{task} {metric}, “{prompt}”": f"zero.{task}.{metric}.{prompt}"
        for task, metric in _LABELLED
        if metric in ("accuracy", "mAP")
        for prompt in PROMPTS
    },
    "probing": {
        f"{task} {metric}, {words}": f"probe.{probe}.{task}.{metric}"
        for task, metric in _LABELLED
        if metric != "mAR"
        for probe, words in (("mlp", "one hidden layer"), ("linear", "linear"))
    },
}
_MICROSCOPE = {
    "centroid distance": "distance",
    "separability": "separability",
    "covariance mismatch": "covariance",
    "spectrum mismatch": "spectrum",
    "cosine, matched": "matched",
    "cosine, unmatched": "unmatched",
    "V-measure with style": "V style",
    "V-measure with instruments": "V instrument",
    "V-measure with modality": "V modality, style",
    "own modality preferred, audio asks": "preference, audio asks",
    "own modality preferred, text asks": "preference, text asks",
    "T→A R@10": "text_to_audio.R@10",
}


def write_report(folder: str | Path, results: Results, findings: Sequence[Finding], *, size: str, sweep: Sweep) -> Path:
    """Write `claims.md`, its pictures in `figures/`, `findings.json` and `tables/` into `folder`.

    `size` is the size's name, `sweep` the runs that the results come from. Returns the path of the page.
    """
    folder = Path(folder)
    drawn, made = charts(results), tables(results)
    for key, chart in drawn.items():
        atomic_write_bytes(folder / "figures" / f"{key}.svg", claim_chart(chart))
    rows = forest(findings)
    if rows:
        atomic_write_bytes(folder / "figures" / "differences.svg", claim_forest(rows))
    for name, table in made.items():
        table.write(folder / "tables" / f"{name}.json")
        atomic_write_text(folder / "tables" / f"{name}.tex", table.to_latex() + "\n")
    atomic_write_json(folder / "findings.json", {finding.key: finding.to_dict() for finding in findings})
    parts = [claims_table(findings)]
    if rows:
        parts.append("![Differences with their intervals](figures/differences.svg)")
    for title, keys, names in SECTIONS:
        shown = [f"![{markdown(drawn[key].title)}](figures/{key}.svg)" for key in keys if key in drawn]
        shown += [made[name].to_markdown() for name in names if made[name].rows]
        if shown:
            parts += [f"## {title}", *shown]
    if results.failed:
        parts += ["## Cells that gave no run", "\n".join(f"- {markdown(reason)}" for reason in results.failed)]
    return atomic_write_text(folder / "claims.md", _page(results, findings, size, sweep, "\n\n".join(parts)))


def copy_report(run: str | Path, out: str | Path) -> Path:
    """Copy the report of a run of the claims, without what only the run needs, and return the page."""
    run, out = Path(run), Path(out)
    for path in (run / "claims.md", run / "findings.json", *run.glob("figures/*.svg"), *run.glob("tables/*.json")):
        atomic_write_bytes(out / path.relative_to(run), path.read_bytes())
    return out / "claims.md"


def claims_table(findings: Sequence[Finding]) -> str:
    """Return the claims with verdict and evidence as a Markdown table."""
    lines = ["| claim | found here | the figures, with 95 % intervals |", "| --- | --- | --- |"]
    for finding in findings:
        evidence = [f"{one.what} {one.words()}" for one in finding.evidence]
        figures = "<br>".join(markdown(text) for text in [*evidence, *([finding.missing] if finding.missing else [])])
        lines.append(f"| {markdown(finding.claim)} | **{finding.verdict}** | {figures} |")
    return "\n".join(lines)


def _page(results: Results, findings: Sequence[Finding], size: str, sweep: Sweep, body: str) -> str:
    """Return the page around `body`."""
    number, machine = counts(findings), records.machine()
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    card = next((run.card for runs in results.runs for run in runs), None)
    note = next((f"; {markdown(note)}" for run in sweep.runs if (note := run.record.get("data_note"))), "")
    template = (files("slapkit.runs.claims") / "claims.md").read_text(encoding="utf-8")
    return template.format(
        claims=len(findings), holds=number[HOLDS], fail=number[FAILS], open=number[OPEN], size=size, body=body,
        date=f"{datetime.now(UTC):%Y-%m-%d}", code=str(records.commit()["commit"] or "no commit")[:12],
        machine=", ".join([f"{machine['cores']} cores", machine["cpu"], memory, *machine["accelerators"]]),
        runs=len(sweep.runs), plan=results.size, seeds=_seeds(results.size),
        minutes=sum(run.record.get("wall_s") or 0 for run in sweep.runs) / 60,
        data=f"{card['data']}, {card['split']} split, fingerprint {card['data_hash']}{note}" if card else "none",
    )  # fmt: skip


def _seeds(plan: Size) -> str:
    every, pair = len(plan.seeds), len({*plan.seeds, *plan.pair_seeds})
    return f"{every} training seed{'s' if every > 1 else ''}" + (f", {pair} of SLAP and CLAP" if pair > every else "")


def tables(results: Results) -> dict[str, Table]:
    """Return the tables by name; a figure that no run has leaves its place empty. Raise `MetricError` where runs were
    measured on different data, or otherwise not alike."""
    results = results.alike()
    models = {NAMES[label]: runs for label, runs in results.models().items()}
    q_against_z = Table([Column(title) for title in _retrieval("q")], vary=("embedding",))
    for kind, words in (("q", "predictions q"), ("z", "projections z")):
        _add(q_against_z, f"SLAP, {words}", models["SLAP"], _retrieval(kind))
    shares = ("separability", "preference", "text_to_audio")
    columns = [(title, name.startswith(shares)) for title, name in _MICROSCOPE.items()]
    microscope = Table([Column(title, percent=share, digits=1 if share else 3) for title, share in columns])
    for name in ("SLAP", "CLAP", "SigLIP"):
        for stage, words in STAGES.items():
            cells = {title: f"space.{stage}.{figure}" for title, figure in _MICROSCOPE.items()}
            _add(microscope, f"{name}, {words}", models[name], cells)
    made = {"q-against-z": q_against_z, "microscope": microscope}
    for name, cells in _OF_ALL_MODELS.items():
        made[name] = Table([Column(title) for title in cells])
        for row, runs in models.items():
            _add(made[name], row, runs, cells)
    return made


def _add(table: Table, row: str, runs: list[Measured], cells: Cells) -> None:
    """Add a row of the figures that all runs have, if there are any."""
    present = {title: name for title, name in cells.items() if runs and all(name in run.figures for run in runs)}
    if present:
        table.add(row, {title: score(runs, name) for title, name in present.items()})
