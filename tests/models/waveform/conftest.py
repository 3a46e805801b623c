"""One folder of each kind of published encoder, for all tests here."""

from __future__ import annotations

import pytest

from tests.models.waveform.wave_folders import PARTS, write


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("published")
    return {kind: str(write(root / kind, kind)) for kind in PARTS}
