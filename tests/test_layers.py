"""The layers of the package: imports go down, in circles nowhere, and inside functions only where they are heavy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]


@pytest.mark.slow
def test_the_contracts_hold_and_fail_on_a_planted_import(tmp_path):
    for name in ("slapkit", "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)

    def lint() -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(LINT, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert "slapkit.metrics.gap ->" not in lint().stdout
    with (tmp_path / "slapkit" / "metrics" / "gap.py").open("a") as file:
        file.write("\n\ndef planted():\n    import slapkit.search\n")
    planted = lint()
    assert planted.returncode == 1 and "slapkit.metrics.gap -> slapkit.search" in planted.stdout


@pytest.mark.parametrize("code", ["import slapkit", "from slapkit.cli import main; assert main(['--help']) == 0"])
def test_the_package_and_its_help_are_quick_and_import_nothing_heavy(code):
    code = f"import sys, resource; {code}; print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, *sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    seconds, *modules = done.stdout.splitlines()[-1].split()
    assert "slapkit" in modules
    assert not {"torch", "numpy", "pandas", "plotly", "transformers", "nbformat"} & set(modules)
    assert float(seconds) < 0.5
