"""One model and one collection for all tests of embedding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import slapkit  # noqa: E402
from tests.hub.embed.embedding_parts import write_collection, write_model  # noqa: E402


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="session")
def model(run):
    return slapkit.load(run, device="cpu")


@pytest.fixture(scope="session")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("collection") / "music")


@pytest.fixture(autouse=True)
def one_thread():
    """The processes that the tests start use one thread: with more, sums are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
