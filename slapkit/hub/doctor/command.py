"""`slapkit doctor PATH`: examine a model, print or write the page, and end with 1 where something failed."""

from __future__ import annotations

import argparse
import json


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's parser."""
    doctor = commands.add_parser("doctor", help="examine a trained model: is it whole, does it behave?")
    doctor.add_argument("path", help="folder of a run of 02_train, or of a checkpoint")
    doctor.add_argument(
        "--data", metavar="FOLDER", help="data set to try pairs on; its test split, else validation, else all of it"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of the page")
    doctor.add_argument("--html", metavar="FILE", help="also write the page as HTML")
    doctor.add_argument("--seed", type=int, default=0, help="of the probe sounds (default: 0)")
    doctor.add_argument("--quiet", action="store_true", help="no progress bar")
    doctor.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """Examine the model and print what was found; return 1 if something failed, otherwise 0."""
    from slapkit.hub.doctor import examine

    sounds, captions = (None, None) if args.data is None else _pairs(args.data)
    found = examine(args.path, sounds=sounds, captions=captions, seed=args.seed, progress=not args.quiet)
    print(json.dumps(found.to_dict(), indent=2) if args.json else found.text())
    if args.html:
        page = found.write_html(args.html)
        if not args.json:
            print(f"page: {page}")
    return int(found.verdict == "fail")


def _pairs(folder: str) -> tuple[list, list[str]]:
    """Return the sounds of a data set's held-out part, and the first caption of each."""
    from slapkit.data import read

    data = read(folder)
    held_out = next((name for name in ("test", "validation") if name in data.splits), None)
    clips = [clip for clip in (data.split(held_out) if held_out else data) if clip.captions]
    return [clip.path for clip in clips], [clip.captions[0] for clip in clips]
