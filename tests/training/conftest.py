"""One small data set of tones, and its features, for all training tests."""

import pytest

from tests.training.tones import make_tones


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")
