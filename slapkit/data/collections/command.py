"""`slapkit collection` reads a published collection and says what it holds; `slapkit unpack` unpacks an archive."""

from __future__ import annotations

import argparse
import json
from typing import Any

from slapkit.errors import ConfigError


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add both commands to those of `slapkit`."""
    show = commands.add_parser("collection", help="read a published collection and say what it holds")
    show.add_argument("folder", help="its folder, or the table of a slap-csv")
    show.add_argument("--layout", default="auto", help="what it is (default: by what lies in the folder)")
    show.add_argument(
        "-o", dest="option", action="append", default=[], metavar="NAME=VALUE", help="an option of the layout's reader"
    )
    show.add_argument("--leaks", action="store_true", help="look for equal files and sounds in different splits")
    show.add_argument("--quiet", action="store_true", help="no progress bars")
    show.set_defaults(call=_show)
    unpack = commands.add_parser(
        "unpack", help="unpack a zip or tar archive into a new folder, refusing dangerous ones"
    )
    unpack.add_argument("archive")
    unpack.add_argument("folder", help="must not exist")
    unpack.add_argument("--quiet", action="store_true", help="no progress bars")
    unpack.set_defaults(call=_unpack)


def _show(args: argparse.Namespace) -> None:
    """Read the collection, print what it holds, and what its splits share."""
    from slapkit.data import leakage
    from slapkit.data.collections import read

    dataset = read(args.layout, args.folder, progress=not args.quiet, **dict(map(_option, args.option)))
    print(dataset.summary())
    if args.leaks:
        print(leakage.check(dataset, progress=not args.quiet).describe())


def _option(text: str) -> tuple[str, Any]:
    """Return name and value of an option: a number, true, false, null, or else text."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ConfigError(f"-o {text!r} must be name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _unpack(args: argparse.Namespace) -> None:
    """Unpack the archive and say where its content is."""
    from slapkit.data.collections import extract

    print(f"unpacked: {extract(args.archive, args.folder, progress=not args.quiet)}")
