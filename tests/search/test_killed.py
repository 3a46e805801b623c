"""What was embedded before a kill is not embedded again, in a library and in a Parquet file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["library", "embed"])
def test_killed_at_any_moment_it_goes_on(music, tmp_path, kind):
    root = music({f"{i:02d}.wav": 1.0 + i % 4 / 2 for i in range(30)})
    repository = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, repository / "tests/search/killing.py", kind, root, tmp_path / "out", tmp_path / "all", "12"],
        capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["killed"] >= 5 and said["files"] == 30 and said["worst"] < 1e-5
    assert said["embedded"] < 30 + 4 * said["killed"], "finished work is not done again"
    assert not (tmp_path / "out.parts").exists()
