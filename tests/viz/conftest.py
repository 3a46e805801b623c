"""Two models over the same twelve clips, and a place for marks."""

import pytest

from slapkit.search.marks import Marks
from tests.viz.fakes import make_clips, make_embedded


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def models(clips):
    return [make_embedded(clips, "SLAP", 0.1), make_embedded(clips, "CLAP", 1.5, seed=1)]


@pytest.fixture
def marks(tmp_path):
    return Marks(tmp_path / "marks.json")
