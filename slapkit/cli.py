"""The `slapkit` command. Modules of slapkit are imported inside the commands, so that `slapkit --help` is quick."""

import contextlib
import json
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from slapkit._io import locate, printable
from slapkit.config import nearest
from slapkit.errors import ConfigError, LibraryError, SlapkitError, short

EXAMPLES = """\b
Examples:
  slapkit new my-bench
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
FORMS = (
    "clap: a folder that transformers' ClapModel loads; onnx: both towers as ONNX graphs (needs slapkit[export]); "
    "hub-folder: a folder for the Hugging Face Hub, which slapkit loads"
)


def _reader_is_gone(said: str = "") -> bool:
    """Print `said` and all that waits; say whether the reader has enough, as in `slapkit search ... | head`."""
    try:
        print(end=said, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what is flushed at the end
        return True
    return False


class _Commands(TyperGroup):
    """Shows the errors that slapkit raises on purpose in one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SlapkitError as error:
            print(f"slapkit: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            if not _reader_is_gone("\n"):  # another pipe broke
                raise
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            print("slapkit: interrupted; the same command goes on from here", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    help="Train and measure joint music-text embeddings.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bars")]
RunsDir = Annotated[str, typer.Option(help="where runs are kept")]
ModelFolder = Annotated[str, typer.Argument(help="folder of a run of 02_train, or of a checkpoint")]


def _value(option: str, text: str) -> tuple[str, str]:
    """Return name and value of an option NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ConfigError(f"{option} {short(text)} must be name=value")
    return name, value


def _list_left_out(failures: list[tuple[str, str]], file: Path) -> None:
    """Print the first files that were left out, and where all are listed."""
    for name, reason in failures[:20]:
        print(f"  not in it: {printable(name)}: {printable(reason)}")
    if len(failures) > 20:
        print(f"  ... and {len(failures) - 20:,} more, listed in {os.path.relpath(file)}")


@app.command()
def corpus(
    size: Annotated[str, typer.Option(help="smoke (120 clips), quick (2,500) or full (30,000)")] = "quick",
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
    from slapkit.runs.project import new_project

    made = os.path.relpath(new_project(folder))
    print(f"new: {made}\nnext: cd {shlex.quote(made)}, then see README.md")


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="name in notebooks/, or path")],
    parameter: Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="a parameter")] = None,
    file: Annotated[str | None, typer.Option("-f", metavar="FILE.yml", help="parameters; -p goes before them")] = None,
    parameters: Annotated[bool, typer.Option("--parameters", help="list the notebook's parameters and stop")] = False,
    force: Annotated[bool, typer.Option("--force", help="run again from nothing, though it is done")] = False,
    runs_dir: RunsDir = "runs",
    quiet: Quiet = False,
) -> None:
    """run a notebook with checked parameters"""
    import nbformat

    from slapkit import runs
    from slapkit.metrics.summary import main_figures
    from slapkit.runs.parameters import RESERVED, notebook_parameters, read_parameters

    path = runs.find_notebook(notebook)
    declared = notebook_parameters(nbformat.read(path, as_version=4), path.stem)
    declared.pop(RESERVED, None)
    if parameters:
        for one in declared.values():
            print(f"{one.name}: {one.type_name} = {one.default!r}  # {one.comment}")
        return
    values = read_parameters(file) if file is not None else {}
    for name, text in (_value("-p", text) for text in parameter or ()):
        if name not in declared:
            raise ConfigError(f"{path.stem} has no parameter {short(name)}: {nearest(name, declared)}")
        values[name] = declared[name].parse(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the note is printed below
        done = runs.run(path, force=force, runs_dir=runs_dir, progress=not quiet, **values)
    took = "done before, not run again (--force runs it)" if done.reused else f"{done.record['wall_s']:.0f} s"
    print(f"{path.stem}: {os.path.relpath(done.folder)} ({took})")
    for line in filter(None, [done.note, *main_figures(done.record, done.metrics)]):
        print(f"  {line}")


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
def report(runs_dir: RunsDir = "runs") -> None:
    """write runs/index.html"""
    from slapkit.runs.report import write_report

    page, lines = write_report(runs_dir)
    print(*lines, f"report: {os.path.relpath(page)}", sep="\n")


@app.command()
def library(
    folder: Annotated[str, typer.Argument(help="audio files in any depth, or a data set with its table")],
    model: Annotated[str, typer.Option(metavar="RUN", help="folder of a run of 02_train")],
    out: Annotated[str | None, typer.Option(help="library's folder; default: data/libraries/<name>-<hash>")] = None,
    embedding: Annotated[str, typer.Option(help="q (prediction) or z (projection)")] = "q",
    engine: Annotated[str | None, typer.Option(help="a Milvus server or file that holds the vectors")] = None,
    cache_dir: Annotated[str | None, typer.Option(help="features that training kept: not decoded again")] = None,
    moved: Annotated[bool, typer.Option("--moved", help="the library in --out follows its collection here")] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="let tracks go that are all gone at once")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """embed a folder of music for searching, or bring it up to date"""
    from slapkit.search import Library

    given = {"embedding": embedding, "engine": engine, "cache_dir": cache_dir, "moved": moved}
    given["forget_missing"] = forget_missing
    made = Library.build(folder, model, out=out, progress=not quiet, **given)
    counts = ", ".join(f"{count:,} {what}" for what, count in made.counts.items() if count) or "no audio files"
    print(f"library: {os.path.relpath(made.out)} ({len(made):,} tracks: {counts})")
    _list_left_out(list(zip(made.failures["file"], made.failures["reason"])), made.out / "failures.jsonl")


@app.command()
def tag(
    folder: Annotated[str, typer.Argument(help="audio files in any depth")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line instead of the table")] = False,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="also write the table as CSV")] = None,
    cache_dir: Annotated[str | None, typer.Option(help="what was computed before; default: data/cache")] = None,
    quiet: Quiet = False,
) -> None:
    """hear instruments, voice, tempo, mood and genre of a folder's tracks, and fill the search's facts with them"""
    from slapkit.hub import tagger

    heard = tagger.hear(folder, cache_dir=cache_dir, progress=not quiet)
    for line in map(json.dumps, heard.rows()) if as_json else heard.text_lines():
        print(line)
    if csv is not None:
        heard.write_csv(csv)
    if not as_json:
        table = tagger.table_path(heard.folder)
        print(f"heard: {os.path.relpath(table)} ({heard.note()}); `slapkit library` shows it in the search")
        _list_left_out([(one.file, one.reason) for one in heard.failures], table)


@app.command()
def caption(
    folder: Annotated[str, typer.Argument(help="audio files in any depth, with a table or without")],
    out: Annotated[str | None, typer.Option(metavar="FILE", help="default: metadata.jsonl in the folder")] = None,
    cache_dir: Annotated[str | None, typer.Option(help="what was computed before; default: data/cache")] = None,
    seed: Annotated[int, typer.Option(help="of the words and the splits")] = 0,
    quiet: Quiet = False,
) -> None:
    """write captions of a tagger's words for tracks that nobody described, so that a model can be trained on them"""
    from slapkit.data import read
    from slapkit.hub.tagger import table_path
    from slapkit.hub.weak_captions import caption_folder

    made = caption_folder(folder, out=out, cache_dir=cache_dir, seed=seed, progress=not quiet)
    table = os.path.relpath(made.table)
    print(f"captions: {table} ({made.described:,} tracks described by a model, {made.kept:,} rows kept; {made.note})")
    print(read(made.folder, table=made.table).summary())
    _list_left_out([(one.file, one.reason) for one in made.failures], table_path(made.folder))


@app.command()
def search(
    folder: Annotated[str, typer.Argument(metavar="LIBRARY", help="folder of the library")],
    query: Annotated[str, typer.Argument(help='words; " + strings" adds, " - drums" takes away')] = "",
    like: Annotated[list[str] | None, typer.Option(metavar="ID", help="more like this track; again: like both")] = None,
    file: Annotated[list[str] | None, typer.Option(metavar="FILE", help="more like this sound file")] = None,
    to: Annotated[str | None, typer.Option(metavar="ID", help="walk from the track of --like to this one")] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="also write a playlist (.m3u8) or a .csv")] = None,
    k: Annotated[int, typer.Option("-k", help="how many results")] = 10,
    where: Annotated[list[str] | None, typer.Option(metavar="FACT=VALUE", help="a fact; again: or, and")] = None,
    pooling: Annotated[str, typer.Option(help="a track counts by its best window, or by the mean of all")] = "best",
    model: Annotated[str | None, typer.Option(metavar="RUN", help="where the library's model lies now")] = None,
    index: Annotated[str, typer.Option(help="exact, or approximate for many millions of windows")] = "exact",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, with all facts")] = False,
) -> None:
    """search a library by describing music, by tracks or by sound files"""
    from slapkit.search import Library, playlists, results

    opened = Library.open(folder, model, index=index)
    if to is not None:
        if query or file or where or len(like or ()) != 1:
            raise LibraryError(f"--to {to} goes with one --like, where the journey begins, and nothing else")
        found = playlists.journey(opened, like[0], to, k=k)
    else:
        alike = [*map(opened.like, like or ()), *map(Path, file or ())]
        asked = [query, *alike] if query or not alike else alike
        found = opened.search(asked, k=k, where=results.parse_where(where or []), pooling=pooling)
    if out is not None:
        playlists.write_tracks(found, opened.folder, out)
    if warning := opened.warn(query):
        print(f"slapkit: {warning}", file=sys.stderr)
    as_lines = found.to_json(orient="records", lines=True, double_precision=15).strip().splitlines()
    for line in as_lines if as_json else results.text_lines(found):
        print(line)
    if found.empty:
        print("slapkit: no track fits the filters", file=sys.stderr)


@app.command()
def duplicates(
    folder: Annotated[str, typer.Argument(metavar="LIBRARY", help="folder of the library")],
    least: Annotated[float, typer.Option(help="cosine from which embeddings count as the same")] = 0.999,
) -> None:
    """list tracks of a library that are the same, by content and by embedding"""
    from slapkit.search import Library, playlists

    found = playlists.duplicates(Library.open(folder), least=least)
    for row in found.itertuples():
        print(f"{row.same or 'alike':<6} {row.cosine:.4f}  {printable(row.first)}  {printable(row.second)}")
    print(f"{len(found):,} pairs")


@app.command()
def collection(
    folder: Annotated[str, typer.Argument(help="its folder, or the table of a slap-csv")],
    layout: Annotated[str, typer.Option(help="what it is; auto: by its files")] = "auto",
    option: Annotated[list[str] | None, typer.Option("-o", metavar="NAME=VALUE", help="a reader's option")] = None,
    leaks: Annotated[bool, typer.Option("--leaks", help="find equal files and audio in different splits")] = False,
    quiet: Quiet = False,
) -> None:
    """read a published collection and say what it holds"""
    from slapkit.data import leakage
    from slapkit.data.collections import read

    options: dict[str, Any] = dict(_value("-o", text) for text in option or ())
    for name, text in options.items():
        with contextlib.suppress(ValueError):  # a text
            options[name] = json.loads(text)
    dataset = read(layout, folder, progress=not quiet, **options)
    print(dataset.summary())
    if leaks:
        print(leakage.check(dataset, progress=not quiet).describe())


@app.command()
def unpack(archive: str, folder: Annotated[str, typer.Argument(help="must not exist")], quiet: Quiet = False) -> None:
    """unpack a zip or tar archive into a new folder, refusing dangerous ones"""
    from slapkit.data.collections import extract

    print(f"unpacked: {extract(archive, folder, progress=not quiet)}")


@app.command()
def doctor(
    path: ModelFolder,
    data: Annotated[str | None, typer.Option(metavar="FOLDER", help="pairs to try: test split or validation")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of the page")] = False,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="also write the page as HTML")] = None,
    seed: Annotated[int, typer.Option(help="of the probe sounds")] = 0,
    quiet: Quiet = False,
) -> None:
    """examine a trained model: is it whole, does it behave?"""
    from slapkit.data import read
    from slapkit.hub.doctor import examine

    pairs = {}
    if data is not None:
        dataset = read(data)
        split = next((name for name in ("test", "validation") if name in dataset.splits), None)
        clips = [clip for clip in (dataset.split(split) if split else dataset) if clip.captions]
        pairs = {"sounds": [clip.path for clip in clips], "captions": [clip.captions[0] for clip in clips]}
    found = examine(path, **pairs, seed=seed, progress=not quiet)
    print(json.dumps(found.to_dict(), indent=2) if as_json else found.text())
    if html:
        page = found.write_html(html)
        if not as_json:
            print(f"page: {page}")
    if found.verdict == "fail":
        raise typer.Exit(1)


@app.command()
def export(
    run: ModelFolder,
    to: Annotated[Literal["clap", "onnx", "hub-folder"], typer.Option(metavar="FORM", help=FORMS)],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="new folder for it")],
) -> None:
    """write a trained model in a form that others read"""
    from slapkit.hub import export
    from slapkit.hub.load import load_model

    path = locate(run)
    if to == "hub-folder":
        done = export.to_hub_folder(path, out)
    else:
        model = load_model(path, device="cpu")
        card = export.model_card(model, *export.read_run(path), form=to)
        done = (export.to_clap if to == "clap" else export.to_onnx)(model, out, card=card)
    print(f"export: {os.path.relpath(done)} ({to})")


@app.command()
def embed(
    model: ModelFolder,
    data: Annotated[str, typer.Argument(help="folder of audio files, with a table or without, or the table itself")],
    out: Annotated[str, typer.Option(metavar="FILE.parquet", help="the file to make")],
    windows: Annotated[Literal["pooled", "all"], typer.Option(help="a row per file, or per window")] = "pooled",
    hop_s: Annotated[float | None, typer.Option(metavar="S", help="between windows; default: their length")] = None,
    chunk: Annotated[int, typer.Option(help="files that are finished together")] = 256,
    workers: Annotated[int, typer.Option(help="helper processes that decode; 0: chosen")] = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Annotated[Literal["no", "bf16"], typer.Option(help="bf16: faster where it is native")] = "no",
    quiet: Quiet = False,
) -> None:
    """embed a collection into one Parquet file, on one device or many"""
    from slapkit.hub.embed import device_of_process, embed_collection, failures_path
    from slapkit.hub.load import load_model

    first = os.environ.get("RANK", "0") == "0"
    loaded = load_model(model, device=device_of_process(device), precision=precision)
    options = {"pooled": windows == "pooled", "hop_s": hop_s, "workers": workers, "chunk": chunk}
    outcome = embed_collection(loaded, data, out, progress=first and not quiet, **options)
    if first:
        left_out, name = [(one.file, one.reason) for one in outcome.failures], os.path.relpath(outcome.out)
        print(f"{name} is complete: {outcome.files:,} audio files, {len(left_out):,} files are not in it")
        _list_left_out(left_out, failures_path(outcome.out))


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if not sys.stderr.isatty():
        # In a log every refresh of a bar is kept: two a minute will do. tqdm reads this when it is imported.
        os.environ.setdefault("TQDM_MININTERVAL", "30")
    code = 0
    try:
        app(args=argv, prog_name="slapkit")
    except SystemExit as end:
        code = end.code or 0
    return 0 if _reader_is_gone() else code
