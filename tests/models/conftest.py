"""Fixtures of the tests of models."""

import pytest

from tests.models.waveform.wave_folders import PARTS, write


@pytest.fixture
def narrow_roberta(monkeypatch):
    """Make RoBERTa two narrow layers, so that scratch encoders are built in no time."""
    import transformers

    full, _ = transformers.RobertaConfig, transformers.RobertaModel  # importing the model would undo the patch
    narrow = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    monkeypatch.setattr(transformers, "RobertaConfig", lambda **values: full(**values, **narrow))


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, str]:
    """One folder of each kind of published encoder."""
    root = tmp_path_factory.mktemp("published")
    return {kind: str(write(root / kind, kind)) for kind in PARTS}
