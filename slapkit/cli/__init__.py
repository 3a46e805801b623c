"""The `slapkit` command. Modules of slapkit are imported inside the commands, so that `slapkit --help` is quick."""

import os
import sys

# In the order in which `--help` lists their commands.
from slapkit.cli import projects, music, models  # isort: skip
from slapkit.cli.app import app, reader_is_gone


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
    return 0 if reader_is_gone() else code
