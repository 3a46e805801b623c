"""A small SLAP that was really trained, for the doctor to find healthy, and means to break copies of it."""

import shutil
from copy import deepcopy
from pathlib import Path

import pytest

import slapkit
from slapkit.models.inference import Model
from slapkit.training import train
from tests.training.tones import make_tones, tiny


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("doctor") / "tones")


@pytest.fixture(scope="session")
def checkpoint(tones, tmp_path_factory) -> Path:
    """A run's folder; nothing may change it."""
    folder = tmp_path_factory.mktemp("healthy")
    settings = {"steps": 150, "lr": 3e-3, "eval_every": 1000, "checkpoint_every": 1000, "log_every": 50}
    dropout = {"batch_norm": True, "hidden": 64, "dropout": 0.2}
    chosen = tiny(settings, {"text_projector": dropout})
    run = train(
        model=chosen.model, config=chosen.train, dataset=tones, out_dir=folder / "run", cache_dir=folder / "cache",
        progress=False,
    )  # fmt: skip
    shutil.rmtree(run.folder / "training")
    return run.folder


@pytest.fixture(scope="session")
def loaded(checkpoint) -> Model:
    """The trained model; nothing may change it."""
    return slapkit.load(checkpoint, device="cpu")


@pytest.fixture
def model(loaded) -> Model:
    """The trained model, a copy for each test to break."""
    return Model(deepcopy(loaded.joint))


@pytest.fixture
def broken(checkpoint, tmp_path) -> Path:
    """The checkpoint's folder, copied for a test to break."""
    return shutil.copytree(checkpoint, tmp_path / "broken")


@pytest.fixture(scope="session")
def held_out(tones) -> tuple[list, list[str]]:
    """Clips outside the training split: audio files, and their captions."""
    clips = [clip for clip in tones if clip.split != "train"]
    return [clip.path for clip in clips], [clip.captions[0] for clip in clips]
