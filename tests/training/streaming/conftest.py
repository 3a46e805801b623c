"""One collection for all tests of streaming."""

from __future__ import annotations

import pytest
import torch

from slapkit.data import AudioTextDataset  # noqa: E402
from tests.training.streaming.stream_parts import write_collection  # noqa: E402


@pytest.fixture(scope="session")
def collection(tmp_path_factory) -> AudioTextDataset:
    return write_collection(tmp_path_factory.mktemp("stream") / "music")


@pytest.fixture(autouse=True)
def one_thread():
    """The processes that the tests start use one thread: with more, sums are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
