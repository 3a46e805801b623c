"""One small data set of tones, and its features, for all training tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from slapkit.data import AudioTextDataset  # noqa: E402
from tests.training.tones import make_tones  # noqa: E402


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> AudioTextDataset:
    return make_tones(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")
