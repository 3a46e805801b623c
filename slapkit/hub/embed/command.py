"""The command `slapkit embed`."""

from __future__ import annotations

import argparse
import os


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `embed` to the commands."""
    parser = commands.add_parser("embed", help="embed a collection into one Parquet file, on one device or many")
    parser.add_argument("model", help="folder of a run of 02_train, or of a checkpoint")
    parser.add_argument("data", help="folder of sounds, with a table or without, or the table itself")
    parser.add_argument("--out", required=True, metavar="FILE.parquet", help="the file to make")
    parser.add_argument("--windows", choices=("pooled", "all"), default="pooled", help="a row a sound, or a window")
    parser.add_argument("--hop-s", type=float, metavar="S", help="from window to window (default: a window's length)")
    parser.add_argument("--chunk", type=int, help="sounds that are finished together (default: 256)")
    parser.add_argument("--workers", type=int, default=0, help="helper processes that decode (default: chosen)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("no", "bf16"), default="no", help="bf16: faster where it is native")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    """Embed this process's share, and say what is there and what is missing."""
    from slapkit._io import printable
    from slapkit.hub.embed.embed import CHUNK, embed_collection
    from slapkit.hub.embed.parts import failures_path
    from slapkit.hub.embed.processes import device_of, place
    from slapkit.hub.load import load_model

    where = place()
    model = load_model(args.model, device=device_of(where, args.device), precision=args.precision)
    outcome = embed_collection(
        model,
        args.data,
        args.out,
        pooled=args.windows == "pooled",
        hop_s=args.hop_s,
        chunk=CHUNK if args.chunk is None else args.chunk,
        workers=args.workers,
        where=where,
        progress=not args.quiet,
    )
    name = os.path.relpath(outcome.out)
    who = f"process {where.rank} of {where.world}: " if where.world > 1 else ""
    if not outcome.complete:
        print(
            f"{who}this share is done ({outcome.made} parts made, {outcome.kept} kept); {outcome.missing} parts are "
            f"still missing for {name}: the process that ends last joins them, or the same command run again"
        )
        return
    failed = len(outcome.failures)
    print(f"{who}{name} is complete: {outcome.sounds:,} sounds, {failed:,} files are not in it")
    for failure in outcome.failures[:20] if where.rank == 0 else ():
        print(f"  not in it: {printable(failure.file)}: {printable(failure.reason)}")
    if failed > 20:
        print(f"  ... and {failed - 20:,} more, listed in {os.path.relpath(failures_path(outcome.out))}")
