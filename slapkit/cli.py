"""The `slapkit` command: build the corpus, run notebooks, list runs, hold the claims, search, and what packages add."""

from __future__ import annotations

import argparse
import os
import sys

from slapkit._io import printable
from slapkit.data.collections import command as collections
from slapkit.errors import ConfigError, SlapkitError
from slapkit.hub.doctor import command as doctor
from slapkit.hub.embed import command as embedding
from slapkit.hub.export import command as export

EXAMPLES = """examples:
  slapkit corpus --size quick
  slapkit run 02_train -p objective=clap -p steps=300
  slapkit run 02_train --parameters
  slapkit claims --size smoke
  slapkit runs
  slapkit report
  slapkit library music --model runs/02_train/slap-0123456789 --out my-library
  slapkit search my-library "slow flute + strings - drums" -k 5
  slapkit doctor runs/02_train/slap-0123456789
  slapkit collection my-gtzan"""


def _corpus(args: argparse.Namespace) -> None:
    """Build the score corpus and say where it is."""
    from slapkit.data import scores

    config = scores.CorpusConfig(size=args.size, seed=args.seed)
    if args.soundfont:
        config = config.replace(soundfont=args.soundfont)
    print(f"corpus: {scores.build(config, root=args.root, progress=not args.quiet)}")


def _run(args: argparse.Namespace) -> None:
    """Run a notebook with the parameters given as texts, and print its main figures."""
    import nbformat

    from slapkit.config import nearest
    from slapkit.runs import find_notebook, run
    from slapkit.runs.parameters import RESERVED, notebook_parameters
    from slapkit.runs.summary import main_figures

    path = find_notebook(args.notebook)
    declared = notebook_parameters(nbformat.read(path, as_version=4), path.stem)
    declared.pop(RESERVED, None)
    if args.parameters:
        for parameter in declared.values():
            print(f"{parameter.name}: {parameter.type_name} = {parameter.default!r}  # {parameter.comment}")
        return
    values = {}
    for text in args.parameter:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"-p {text!r} must be name=value")
        if name not in declared:
            raise ConfigError(f"{path.stem} has no parameter {name!r}: {nearest(name, declared)}")
        values[name] = declared[name].parse(value)
    done = run(path, force=args.force, runs_dir=args.runs_dir, progress=not args.quiet, **values)
    took = "done before, not run again (--force runs it)" if done.reused else f"{done.record['wall_s']:.0f} s"
    print(f"{path.stem}: {os.path.relpath(done.folder)} ({took})")
    for line in main_figures(done):
        print(f"  {line}")


def _claims(args: argparse.Namespace) -> None:
    """Train what the claims need, hold the claims against it, and say what was found and where the report is."""
    from slapkit.runs import claims, find_notebook, run

    plan = claims.size(args.size, seeds=args.seeds, workers=args.workers)
    root = find_notebook("05_claims").parent.parent
    data = args.data or str(root / "data" / f"scores-{plan.corpus}")
    # Trained here, where a bar can be seen, and found by the notebook.
    claims.train(plan, data=data, runs_dir=args.runs_dir, progress=not args.quiet)
    values = {"size": args.size, "seeds": args.seeds, "workers": args.workers}
    done = run("05_claims", data=data, runs_dir=args.runs_dir, progress=not args.quiet, force=args.force, **values)
    for finding in done.metrics["findings"].values():
        print(f"{finding['verdict']:<14}  {finding['claim']}")
    for reason in done.metrics["failed"]:
        print(f"gave no run: {reason}")
    page = done.folder / done.metrics["report"]
    if args.out:
        from slapkit.runs.claims.report import copy_report

        page = copy_report(done.folder, args.out)
    print(f"report: {os.path.relpath(page)}")


def _runs(args: argparse.Namespace) -> None:
    """List the runs, oldest first."""
    from slapkit.runs import list_runs

    found = list_runs(args.runs_dir)
    for item in found:
        record = item.record
        wall = f"{record['wall_s']:7.0f} s" if record.get("wall_s") is not None else " " * 9
        print(f"{record['started']}  {record['status']:<11} {wall}  {os.path.relpath(item.folder)}")
    if not found:
        print(f"no runs in {args.runs_dir}: `slapkit run 02_train` makes one")


def _report(args: argparse.Namespace) -> None:
    """Write the page that compares the runs, and print its main figures and its path."""
    from slapkit.runs.report import write_report

    page, lines = write_report(args.runs_dir)
    for line in lines:
        print(line)
    print(f"report: {os.path.relpath(page)}")


def _library(args: argparse.Namespace) -> None:
    """Embed a folder of music, or bring its library up to date, and say what is in it."""
    from slapkit.search import Library

    options = {"out": args.out, "embedding": args.embedding, "cache_dir": args.cache_dir}
    library = Library.build(args.folder, args.model, progress=not args.quiet, **options)
    counts = ", ".join(f"{count:,} {what}" for what, count in library.counts.items() if count) or "no sound files"
    print(f"library: {os.path.relpath(library.out)} ({len(library):,} tracks: {counts})")
    failures = library.failures
    for file, reason in list(zip(failures["file"], failures["reason"]))[:20]:
        print(f"  not in it: {printable(file)}: {printable(reason)}")
    if len(failures) > 20:
        print(f"  ... and {len(failures) - 20:,} more, listed in {os.path.relpath(library.out / 'failures.jsonl')}")


def _search(args: argparse.Namespace) -> None:
    """Search a library and print its results, as a table or as JSON lines."""
    from slapkit.search import Library, results

    library = Library.open(args.library, args.model)
    where = results.parse_where(args.where)
    found = library.search(args.query, k=args.k, where=where, pooling=args.pooling)
    warning = library.warn(args.query)
    if warning:
        print(f"slapkit: {warning}", file=sys.stderr)
    for line in results.json_lines(found) if args.json else results.text_lines(found):
        print(line)
    if found.empty:
        print("slapkit: no track fits the filters", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slapkit",
        description="Train and measure joint music-text embeddings.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    corpus = commands.add_parser("corpus", help="build the score corpus")
    corpus.add_argument("--size", default="quick", help="smoke (120 clips), quick (2,500) or full (30,000)")
    corpus.add_argument("--seed", type=int, default=0)
    corpus.add_argument("--root", default="data", help="folder that takes scores-<size>/ (default: data)")
    corpus.add_argument("--soundfont", help="SoundFont file (.sf2) to render with; default: the packaged one")
    corpus.set_defaults(call=_corpus)

    run = commands.add_parser("run", help="run a notebook with checked parameters")
    run.add_argument("notebook", help="name in notebooks/, or path")
    run.add_argument("-p", dest="parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    run.add_argument("--parameters", action="store_true", help="list the notebook's parameters and stop")
    run.add_argument("--force", action="store_true", help="run again from nothing, though it is done")
    run.set_defaults(call=_run)

    claims = commands.add_parser("claims", help="train what the paper's claims need, and hold them against it")
    claims.add_argument("--size", default="cpu", help="smoke (minutes), cpu (two cores, 2.5 h at most) or gpu")
    claims.add_argument("--seeds", help="training seeds, separated by commas; default: those of the size")
    claims.add_argument("--workers", type=int, help="runs at a time; default: those of the size")
    claims.add_argument("--data", help="folder of the data set; default: the score corpus of the size")
    claims.add_argument("--out", metavar="FOLDER", help="also copy the report there")
    claims.add_argument("--force", action="store_true", help="measure again; what is trained stays trained")
    claims.set_defaults(call=_claims)

    runs = commands.add_parser("runs", help="list the runs")
    runs.set_defaults(call=_runs)
    report = commands.add_parser("report", help="write runs/index.html")
    report.set_defaults(call=_report)
    library = _library_parsers(commands)
    for part in (collections, doctor, export, embedding):
        part.add_parser(commands)
    for command in (run, claims, runs, report):
        command.add_argument("--runs-dir", default="runs", help="where runs are kept (default: runs)")
    for command in (corpus, run, claims, library):
        command.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


def _library_parsers(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the commands that make and search libraries; return the parser of the first."""
    library = commands.add_parser("library", help="embed a folder of music for searching, or bring it up to date")
    library.add_argument("folder", help="sound files in any depth, or a data set with its table")
    library.add_argument("--model", required=True, metavar="RUN", help="folder of a run of 02_train")
    library.add_argument("--out", help="folder that keeps the library (default: data/libraries/<name>-<hash>)")
    library.add_argument("--embedding", default="q", help="q (prediction, the default) or z (projection)")
    library.add_argument("--cache-dir", help="folder with features that training kept: known sounds are not decoded")
    library.set_defaults(call=_library)
    search = commands.add_parser("search", help="search a library by describing music")
    search.add_argument("library", help="folder that keeps the library")
    search.add_argument("query", help='words; " + strings" adds, " - drums" takes away')
    search.add_argument("-k", type=int, default=10, help="how many results (default: 10)")
    search.add_argument(
        "--where", action="append", default=[], metavar="FACT=VALUE", help="only tracks with this fact; again: or, and"
    )
    search.add_argument("--pooling", default="best", help="a track counts by its best window, or by the mean of all")
    search.add_argument("--model", metavar="RUN", help="where the library's model lies now")
    search.add_argument("--json", action="store_true", help="one JSON object a line, with all facts")
    search.set_defaults(call=_search)
    return library


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors that slapkit raises on purpose are told in one line."""
    args = _parser().parse_args(argv)
    if not sys.stderr.isatty():
        # In a log every refresh of a bar stays: two a minute will do. Read by tqdm when it is imported.
        os.environ.setdefault("TQDM_MININTERVAL", "30")
    try:
        return args.call(args) or 0
    except SlapkitError as error:
        print(f"slapkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("slapkit: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
