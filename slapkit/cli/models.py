"""Commands for models: doctor, export, embedding."""

import json
import os
from typing import Annotated, Literal

import typer

from slapkit.cli.app import ModelFolder, Quiet, Tokenizer, app, list_left_out, say
from slapkit.errors import TABLE

FORMS = (
    "clap: a folder that transformers' ClapModel loads; onnx: both towers as ONNX graphs (needs slapkit[export]); "
    "hub-folder: a folder for the Hugging Face Hub, which slapkit loads"
)


@app.command()
def doctor(
    path: ModelFolder,
    data: Annotated[str | None, typer.Option(metavar="FOLDER", help="pairs to try: test split or validation")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of the page")] = False,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="also write the page as HTML")] = None,
    seed: Annotated[int, typer.Option(help="of the probe sounds")] = 0,
    tokenizer: Tokenizer = None,
    quiet: Quiet = False,
) -> None:
    """examine a trained model: is it whole, does it behave?"""
    say("loading the model", quiet)
    from slapkit.data import read
    from slapkit.hub.doctor import examine

    pairs = {}
    if data is not None:
        dataset = read(data)
        split = next((name for name in ("test", "validation") if name in dataset.splits), None)
        clips = [clip for clip in (dataset.split(split) if split else dataset) if clip.captions]
        pairs = {"sounds": [clip.path for clip in clips], "captions": [clip.captions[0] for clip in clips]}
    found = examine(path, **pairs, seed=seed, tokenizer=tokenizer, progress=not quiet)
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
    tokenizer: Tokenizer = None,
    quiet: Quiet = False,
) -> None:
    """write a trained model in a form that others read"""
    say(f"loading the model and writing it as {to}", quiet)
    from slapkit.hub import export
    from slapkit.hub.load import load_model

    if to == "hub-folder":
        done = export.to_hub_folder(run, out, tokenizer=tokenizer)
    else:
        model = load_model(run, device="cpu", tokenizer=tokenizer)
        card = export.model_card(model, *export.read_run(run), form=to)
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
    tokenizer: Tokenizer = None,
    quiet: Quiet = False,
) -> None:
    """embed a collection into one Parquet file, on one device or many"""
    first = os.environ.get("RANK", "0") == "0"
    say("loading the model", quiet or not first)
    from slapkit.hub.embed import device_of_process, embed_collection, failures_path
    from slapkit.hub.load import load_model

    loaded = load_model(model, device=device_of_process(device), precision=precision, tokenizer=tokenizer)
    options = {"pooled": windows == "pooled", "hop_s": hop_s, "workers": workers, "chunk": chunk}
    outcome = embed_collection(loaded, data, out, progress=first and not quiet, **options)
    if first:
        left_out, name = [(one.file, one.reason) for one in outcome.failures], os.path.relpath(outcome.out)
        count = sum(file != TABLE for file, _ in left_out)
        print(f"{name} is complete: {outcome.files:,} audio files, {count:,} files are not in it")
        list_left_out(left_out, failures_path(outcome.out))
