"""Several seeds as one model: its cosines are those of the embeddings side by side."""

import numpy as np
import pytest
import torch

from slapkit.errors import ConfigError
from slapkit.hub import keep_together
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig
from slapkit.models.joint import HeadConfig, JointModel, ModelConfig
from slapkit.models.together import together
from tests.models.test_joint import Audio, Text, batch


def members(objective="slap", count=3, hidden=(0, 7), frozen=True, batch_norm=True):
    """Models over the same encoders whose heads, running statistics among them, were drawn by other seeds."""
    heads = [HeadConfig(hidden=width, batch_norm=batch_norm, dropout=0.1 if width else 0.0) for width in hidden]
    config = ModelConfig(
        audio=AudioEncoderConfig(frozen=frozen), text=TextEncoderConfig(frozen=frozen), dim=4,
        audio_projector=heads[0], text_projector=heads[1], predictor=HeadConfig(hidden=9),
    )  # fmt: skip
    torch.manual_seed(0)
    encoders, found = (Audio().eval(), Text().eval()), []
    for seed in range(count):
        torch.manual_seed(seed)
        model = JointModel(config, objective, *encoders).train()
        model.vocabulary = frozenset({f"word{seed}", "both"})
        for name, x in batch(16, seed).items():
            model.embed(x, name)
        found.append(model.eval())
    return found


@pytest.mark.parametrize("objective", ["slap", "clap", "siglip"])
@pytest.mark.parametrize("hidden", [(0, 7), (7, 0)])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_embeddings_of_all_members_lie_side_by_side(objective, hidden, batch_norm):
    models = members(objective, hidden=hidden, batch_norm=batch_norm)
    whole = together(models)
    assert whole.config.dim == 12 and not whole.training
    for name, x in batch(seed=9).items():
        for own, *theirs in zip(whole.embed(x, name), *(model.embed(x, name) for model in models)):
            torch.testing.assert_close(own, torch.cat(theirs, 1))
    assert whole.vocabulary == {"word0", "word1", "word2", "both"}
    if objective != "slap":
        assert whole.log_scale.item() == pytest.approx(np.mean([model.log_scale.item() for model in models]))


def test_what_has_no_common_space_is_refused():
    with pytest.raises(ConfigError, match="no model"):
        together([])
    with pytest.raises(ConfigError, match="other settings"):
        together([*members(count=1), *members("clap", count=1)])
    with pytest.raises(ConfigError, match="frozen"):
        together(members(frozen=False))


def test_encoders_that_were_trained_and_single_seeds_are_not_kept_together(tmp_path, monkeypatch):
    for models in (members(count=1), members(count=2, frozen=False)):
        (tmp_path / "before").mkdir(exist_ok=True)
        (tmp_path / "before" / "config.json").touch()
        monkeypatch.setattr("slapkit.hub.seeds.load_joint", lambda folder, found=models: found[int(folder.name)])
        for out in (tmp_path / "none", tmp_path / "before"):  # what an earlier training left would be loaded
            assert keep_together([tmp_path / str(i) for i in range(len(models))], out) is None
            assert not (out / "config.json").exists()
