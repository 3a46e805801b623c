"""Who waits over a second reads for what, on stderr and before it begins; with --quiet nothing is said."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "app": "slapkit: opening the pages ...\n",
    "caption .": "slapkit: loading the tagger ...\n",
    "claims --size smoke": "slapkit: planning the runs ...\n",
    "doctor run": "slapkit: loading the model ...\n",
    "embed run . --out out.parquet": "slapkit: loading the model ...\n",
    "export run --to onnx --out out": "slapkit: loading the model and writing it as onnx ...\n",
    "library . --model run": "slapkit: bringing the library up to date ...\n\rLoading the model ...",
    "report": "slapkit: reading the runs ...\n",
    "tag .": "slapkit: loading the tagger ...\n",
}
# Runs commands up to the first import of what is heavy, and prints what each has said by then.
CODE = """
import contextlib, io, json, sys
from slapkit.cli import main

class Heavy(BaseException):
    pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "voila"):
            raise Heavy(name)

sys.meta_path.insert(0, Finder())
said = {}
for command in json.loads(sys.argv[1]):
    out, err, ended = io.StringIO(), io.StringIO(), True
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(Heavy):
        main(command.split())
        ended = False
    said[command] = [out.getvalue(), err.getvalue(), ended]
print(json.dumps(said))
"""


@pytest.mark.parametrize("quiet", ["", " --quiet"])
def test_what_is_heavy_is_announced_before_it_is_imported(quiet, tmp_path):
    commands = {command + quiet: text for command, text in COMMANDS.items() if command != "app" or not quiet}
    given = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", CODE, json.dumps([*commands])], check=True, **given)
    for command, (out, err, ended) in json.loads(done.stdout).items():
        assert ended and not out, command
        assert not err if quiet else commands[command] in err, command
