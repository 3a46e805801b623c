"""One small data set of tones, and its features, for all training tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tones.py, also imported by the processes that the tests start

from tones import make_tones  # noqa: E402

from slapkit.datasets import AudioTextDataset  # noqa: E402


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> AudioTextDataset:
    return make_tones(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")
