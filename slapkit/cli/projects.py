"""Commands for projects: corpus, runs, claims, report."""

import os
import shlex
import warnings
from typing import Annotated

import typer

from slapkit.cli.app import Quiet, RunsDir, app, named_value, say
from slapkit.config import require_known


@app.command()
def corpus(
    size: Annotated[
        str, typer.Option(help="smoke (120 clips), quick (2,500), medium (12,000) or full (30,000)")
    ] = "quick",
    seed: int = 0,
    root: Annotated[str, typer.Option(help="folder for scores-<size>/")] = "data",
    soundfont: Annotated[
        list[str] | None, typer.Option(help="SoundFont (.sf2), repeatable; default: TimGM6mb, FluidR3 if found")
    ] = None,
    unseen_soundfont: Annotated[
        str | None, typer.Option(help='SoundFont of the split "shift", "" for none; default: sf_GMbank if found')
    ] = None,
    quiet: Quiet = False,
) -> None:
    """build the score corpus"""
    from slapkit.data import scores

    fonts = tuple(soundfont) if soundfont else None
    config = scores.CorpusConfig(size=size, seed=seed, soundfonts=fonts, unseen_soundfont=unseen_soundfont)
    print(f"corpus: {scores.build(config, root=root, progress=not quiet)}")


@app.command()
def new(folder: Annotated[str, typer.Argument(help="must not exist")]) -> None:
    """write a project: notebooks, a place for data, parameters"""
    say("reading the notebooks")
    from slapkit.runs.project import new_project

    made = os.path.relpath(new_project(folder))
    print(f"new: {made}\nnext: cd {shlex.quote(made)}, then see README.md")


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="name in notebooks/, or path")],
    parameter: Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="a parameter")] = None,
    file: Annotated[str | None, typer.Option("-f", metavar="FILE.yml", help="parameters; -p overrides them")] = None,
    parameters: Annotated[bool, typer.Option("--parameters", help="list the notebook's parameters and stop")] = False,
    force: Annotated[bool, typer.Option("--force", help="run again from nothing, though it is done")] = False,
    runs_dir: RunsDir = "runs",
    quiet: Quiet = False,
) -> None:
    """run a notebook with checked parameters"""
    say(f"opening {notebook}", quiet)
    from slapkit import runs
    from slapkit.metrics.summary import main_figures
    from slapkit.runs.parameters import RESERVED, parameters_of, read_parameters
    from slapkit.runs.runner import attempt

    path = runs.find_notebook(notebook)
    declared = parameters_of(path)
    declared.pop(RESERVED, None)
    if parameters:
        for one in declared.values():
            print(f"{one.name}: {one.type_name} = {one.default!r}  # {one.comment}")
        return
    values = read_parameters(file) if file is not None else {}
    for name, text in (named_value("-p", text) for text in parameter or ()):
        require_known([name], declared, f"{path.stem} has no parameter")
        values[name] = declared[name].parse(text)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        done = attempt(path, values, force=force, runs_dir=runs_dir, progress=not quiet)
    took = "done before, not run again (--force runs it)" if done.reused else f"{done.record['wall_s']:.0f} s"
    print(f"{path.stem}: {os.path.relpath(done.folder)} ({took})")
    said = dict.fromkeys(str(note.message) for note in notes if note.category is UserWarning)
    for line in [*filter(None, [done.note]), *said, *main_figures(done.record, done.metrics)]:
        print(f"  {line}")


@app.command("app")
def show_app(
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="a parameter of notebook 03 or 04")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="on this machine; the next free one is taken")] = 8866,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open it in a browser")] = True,
    runs_dir: RunsDir = "runs",
) -> None:
    """show the map and the search bench as web pages, without Jupyter"""
    say("opening the pages")
    from slapkit.runs.app import make_pages, serve

    pages = make_pages(dict(named_value("-p", text) for text in parameter or ()), runs_dir=runs_dir)
    for page in pages:
        about = ", ".join(os.path.relpath(part) for key in ("data", "runs") for part in page.values[key].split(","))
        print(f"{page.label.lower()}: {about}")
    serve(pages, port=port, browser=browser)


@app.command()
def claims(
    size: Annotated[str, typer.Option(help="smoke (minutes), cpu (two cores, 2.5 h at most) or gpu")] = "cpu",
    seeds: Annotated[str | None, typer.Option(help="training seeds, separated by commas; default: the size's")] = None,
    workers: Annotated[int | None, typer.Option(help="runs at a time; default: the size's")] = None,
    data: Annotated[str | None, typer.Option(help="data set's folder; default: the score corpus of the size")] = None,
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="also copy the report there")] = None,
    force: Annotated[bool, typer.Option("--force", help="measure again; what is trained stays trained")] = False,
    runs_dir: RunsDir = "runs",
    quiet: Quiet = False,
) -> None:
    """train what the paper's claims need, and hold them against it"""
    say("planning the runs", quiet)
    from slapkit import runs
    from slapkit.runs import claims as measured
    from slapkit.runs.claims.report import copy_report

    plan = measured.size(size, seeds=seeds, workers=workers)
    root = runs.find_notebook("05_claims").parent.parent
    data = data or str(root / "data" / f"scores-{plan.corpus}")
    given = {"data": data, "runs_dir": runs_dir, "progress": not quiet}
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        measured.train(plan, **given)  # here, where a bar can be seen; the notebook finds what was trained
        done = runs.run("05_claims", force=force, size=size, seeds=seeds, workers=workers, **given)
    for note in notes:
        print(note.message)
    for finding in done.metrics["findings"].values():
        print(f"{finding['verdict']:<14}  {finding['claim']}")
    for reason in done.metrics["failed"]:
        print(f"gave no run: {reason}")
    page = copy_report(done.folder, out) if out else done.folder / done.metrics["report"]
    print(f"report: {os.path.relpath(page)}")


@app.command("runs")
def list_runs(runs_dir: RunsDir = "runs") -> None:
    """list the runs"""
    from slapkit import runs

    found = runs.list_runs(runs_dir)
    for record, folder in ((item.record, item.folder) for item in found):
        wall = f"{record['wall_s']:7.0f} s" if record.get("wall_s") is not None else " " * 9
        print(f"{record['started']}  {record['status']:<11} {wall}  {os.path.relpath(folder)}")
    if not found:
        print(f"no runs in {runs_dir}: `slapkit run 02_train` makes one")


@app.command()
def report(runs_dir: RunsDir = "runs", quiet: Quiet = False) -> None:
    """write runs/index.html"""
    say("reading the runs", quiet)
    from slapkit.runs.report import write_report

    page, lines = write_report(runs_dir, progress=not quiet)
    print(*lines, f"report: {os.path.relpath(page)}", sep="\n")
