"""Commands for folders of music: libraries and what is found in them, tags, captions, collections."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from slapkit._io import printable
from slapkit.cli.app import Quiet, Tokenizer, app, list_left_out, named_value, say
from slapkit.errors import LibraryError


@app.command()
def library(
    folder: Annotated[str, typer.Argument(help="audio files in any depth, or a data set with its table")],
    model: Annotated[str, typer.Option(metavar="RUN", help="folder of a run of 02_train, or a checkpoint")],
    out: Annotated[str | None, typer.Option(help="library's folder; default: data/libraries/<name>-<hash>")] = None,
    embedding: Annotated[str, typer.Option(help="q (prediction) or z (projection)")] = "q",
    engine: Annotated[str | None, typer.Option(help="a Milvus server or file that holds the vectors")] = None,
    cache_dir: Annotated[str | None, typer.Option(help="features that training kept: not decoded again")] = None,
    moved: Annotated[bool, typer.Option("--moved", help="the library in --out follows its collection here")] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="let tracks go that are all gone at once")
    ] = False,
    tokenizer: Tokenizer = None,
    quiet: Quiet = False,
) -> None:
    """embed a folder of music for searching, or bring it up to date"""
    say("bringing the library up to date", quiet)
    from slapkit.search import Library

    given = {"embedding": embedding, "engine": engine, "cache_dir": cache_dir, "moved": moved}
    given |= {"forget_missing": forget_missing, "tokenizer": tokenizer}
    made = Library.build(folder, model, out=out, progress=not quiet, **given)
    if not made.keep_text_tower(progress=not quiet) and not quiet:
        print("slapkit: the text tower has no ONNX form here: searches load the model, some seconds", file=sys.stderr)
    counts = ", ".join(f"{count:,} {what}" for what, count in made.counts.items() if count) or "no audio files"
    print(f"library: {os.path.relpath(made.out)} ({len(made):,} tracks: {counts})")
    list_left_out(list(zip(made.failures["file"], made.failures["reason"])), made.out / "failures.jsonl")


@app.command()
def tag(
    folder: Annotated[str, typer.Argument(help="audio files in any depth")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line instead of the table")] = False,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="also write the table as CSV")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="tempo, key and loudness too (slapkit[measure])")] = False,
    cache_dir: Annotated[str | None, typer.Option(help="what was computed before; default: data/cache")] = None,
    quiet: Quiet = False,
) -> None:
    """hear instruments, voice, tempo, mood and genre of a folder's tracks, and fill the search's facts with them"""
    say("loading the tagger", quiet)
    from slapkit.hub import heard as tables
    from slapkit.hub import tagger

    heard = tagger.hear(folder, measure=measure, cache_dir=cache_dir, progress=not quiet)
    for line in map(json.dumps, heard.rows()) if as_json else heard.text_lines():
        print(line)
    if csv is not None:
        heard.write_csv(csv)
    if not as_json:
        table = tables.table_path(heard.folder)
        print(f"heard: {os.path.relpath(table)} ({heard.note()}); `slapkit library` shows it in the search")
        list_left_out([(one.file, one.reason) for one in heard.failures], table)


@app.command()
def caption(
    folder: Annotated[str, typer.Argument(help="audio files in any depth, with a table or without")],
    out: Annotated[str | None, typer.Option(metavar="FILE", help="default: metadata.jsonl in the folder")] = None,
    cache_dir: Annotated[str | None, typer.Option(help="what was computed before; default: data/cache")] = None,
    seed: Annotated[int, typer.Option(help="of the words and the splits")] = 0,
    quiet: Quiet = False,
) -> None:
    """write captions of a tagger's words for tracks that nobody described, so that a model can be trained on them"""
    say("loading the tagger", quiet)
    from slapkit.data import read
    from slapkit.hub.heard import table_path
    from slapkit.hub.weak_captions import caption_folder

    made = caption_folder(folder, out=out, cache_dir=cache_dir, seed=seed, progress=not quiet)
    table = os.path.relpath(made.table)
    print(f"captions: {table} ({made.described:,} tracks described by a model, {made.kept:,} rows kept; {made.note})")
    print(read(made.folder, table=made.table).summary())
    list_left_out([(one.file, one.reason) for one in made.failures], table_path(made.folder))


@app.command()
def search(
    folder: Annotated[str, typer.Argument(metavar="LIBRARY", help="folder of the library")],
    query: Annotated[str, typer.Argument(help='words; " + strings" adds, " - drums" takes away')] = "",
    like: Annotated[list[str] | None, typer.Option(metavar="ID", help="more like this track; again: like both")] = None,
    file: Annotated[list[str] | None, typer.Option(metavar="FILE", help="more like this sound file")] = None,
    to: Annotated[str | None, typer.Option(metavar="ID", help="walk from the track of --like to this one")] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="also write a playlist (.m3u8) or a .csv")] = None,
    k: Annotated[int, typer.Option("-k", help="how many results")] = 10,
    where: Annotated[
        list[str] | None, typer.Option(metavar="FACT=VALUE", help="a fact, or year=1990..1999; again: or, and")
    ] = None,
    pooling: Annotated[str, typer.Option(help="a track counts by its best window, or by the mean of all")] = "best",
    model: Annotated[str | None, typer.Option(metavar="RUN", help="where the library's model lies now")] = None,
    tokenizer: Tokenizer = None,
    index: Annotated[str, typer.Option(help="exact, or approximate for many millions of windows")] = "exact",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, with all facts")] = False,
) -> None:
    """search a library by describing music, by tracks or by sound files"""
    say("opening the index", quiet=index != "approximate")  # which imports torch
    from slapkit.search import Library, playlists, results

    opened = Library.open(folder, model, index=index, tokenizer=tokenizer)
    wanted = results.parse_where(where or [])
    if to is not None:
        if query or file or where or len(like or ()) != 1:
            raise LibraryError(f"--to {to} goes with one --like, where the journey begins, and nothing else")
        found = playlists.journey(opened, like[0], to, k=k)
    else:
        alike = [*map(opened.like, like or ()), *map(Path, file or ())]
        asked = [query, *alike] if query or not alike else alike
        found = opened.search(asked, k=k, where=wanted, pooling=pooling)
    if out is not None:
        written = playlists.write_tracks(found, opened.folder, out)
        print(f"slapkit: {len(found):,} tracks are in {os.path.relpath(written)}", file=sys.stderr)
    for warning in filter(None, [opened.warn(query), opened.unmet(wanted)]):
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
    quiet: Quiet = False,
) -> None:
    """list tracks of a library that are the same, by content and by embedding"""
    from slapkit.search import Library, playlists

    found = playlists.duplicates(Library.open(folder), least=least, progress=not quiet)
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

    options: dict[str, Any] = dict(named_value("-o", text) for text in option or ())
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
