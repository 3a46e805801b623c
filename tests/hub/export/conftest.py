"""Models of all shapes that exports meet."""

import pytest

from slapkit.models.encoders import TextEncoderConfig
from tests.hub.export.export_parts import HTSAT, build, make_roberta


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="session")
def text(roberta: str) -> TextEncoderConfig:
    return TextEncoderConfig(source=roberta, pooling="pooler", frozen=False, max_tokens=20)


@pytest.fixture(scope="session")
def clap_like(text):
    """A function that builds a model of the parts that CLAP has."""
    audio = {"kind": "htsat", "htsat": HTSAT, "window_s": 1.0, "frontend": {"min_s": 1.0}}
    return lambda objective="clap", batch_norm=True, **changes: build(
        objective, audio | changes, text, batch_norm=batch_norm
    )
