"""Small published checkpoints, made once."""

import pytest

from tests.hub.checkpoints.published_files import save_folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """`{"unfused": (folder, ClapModel), "fused": ...}`, each saved by transformers."""
    root = tmp_path_factory.mktemp("published")
    kinds = {
        "unfused": {"truncation": "rand_trunc"},
        "fused": {"truncation": "fusion", "fused": True, "padding": "pad", "whole_processor": True},
    }
    return {name: (root / name, save_folder(root / name, **options)) for name, options in kinds.items()}
