"""Two models over the same twelve clips, for all tests of maps."""

from __future__ import annotations

import pytest

from tests.viz.maps.fakes import make_clips, make_embedded


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def models(clips):
    return [make_embedded(clips, "SLAP", 0.1), make_embedded(clips, "CLAP", 1.5, seed=1)]
