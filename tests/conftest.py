"""Shared by all tests: the `--slow` option, and a closed network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

# Nothing in the tests may ask the network for a model, and a fork after tokenising must not warn.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tests that run side by side leave each other a core.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", default=False, help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if "slow" in item.keywords}
    # Long files first, those in a browser before all, so that two workers end together.
    items.sort(key=lambda item: (item.path not in slow, "browser" not in item.path.parts))
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _same_working_folder() -> Iterator[None]:
    before = os.getcwd()
    yield
    after = os.getcwd()
    os.chdir(before)
    assert after == before, "the tests after this one would not find what they name"


@pytest.fixture(scope="session")
def smoke_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the smallest score corpus, made once: copy it where it will be written to."""
    from slapkit.data import scores

    return scores.build("smoke", root=tmp_path_factory.mktemp("corpus"), progress=False)


@pytest.fixture(scope="session")
def heard_sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sounds that musicnn tells apart, and of files that are none."""
    from tests.hub.heard_sounds import write_sounds

    root = tmp_path_factory.mktemp("heard") / "mymusic"
    write_sounds(root)
    return root


@pytest.fixture
def heard_copy(heard_sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A copy of these sounds below the working folder, and the cache that all copies share."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(heard_sounds, tmp_path / "mymusic"), heard_sounds.parent / "cache"
