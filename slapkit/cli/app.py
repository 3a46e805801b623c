"""The `slapkit` command itself: how it answers errors and closed pipes, and what its commands share."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from slapkit._io import printable
from slapkit.errors import TABLE, ConfigError, SlapkitError, short

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
  slapkit app
  slapkit search my-library "slow flute + strings - drums" -k 5
  slapkit doctor runs/02_train/slap-0123456789
  slapkit collection my-gtzan"""


def reader_is_gone(said: str = "") -> bool:
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
            print("slapkit:", "\n".join(map(printable, str(error).splitlines())), file=sys.stderr)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            if not reader_is_gone("\n"):  # another pipe broke
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

Quiet = Annotated[bool, typer.Option("--quiet", help="show no progress")]
RunsDir = Annotated[str, typer.Option(help="where runs are kept")]
ModelFolder = Annotated[str, typer.Argument(help="folder of a run of 02_train, or of a checkpoint")]
Tokenizer = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="RoBERTa's, for a LAION-CLAP file; default: the folder `tokenizer` beside it"),
]


def named_value(option: str, text: str) -> tuple[str, str]:
    """Return name and value of an option NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ConfigError(f"{option} {short(text)} must be name=value")
    return name, value


def say(what: str, quiet: bool = False) -> None:
    """Tell on stderr what is about to take some seconds before a bar can move: imports, a model that is loaded."""
    if not quiet:
        print(f"slapkit: {what} ...", file=sys.stderr, flush=True)


def list_left_out(failures: list[tuple[str, str]], file: Path) -> None:
    """Print remarks on the table, the first files that were left out, and where all are listed."""
    remarks, files = ([(name, why) for name, why in failures if (name == TABLE) is told] for told in (True, False))
    for name, reason in remarks + files[:20]:
        print(f"  {'' if name == TABLE else 'not in it: '}{printable(name)}: {printable(reason)}")
    if len(files) > 20:
        print(f"  ... and {len(files) - 20:,} more, listed in {os.path.relpath(file)}")
