"""Small scores and a small real corpus, built once for all tests of a session."""

from pathlib import Path

import numpy as np
import pytest

from slapkit.data.scores.score import Score


def make_score(pitches, *, durations=None, part=0, metre=(4, 4)) -> Score:
    """A one-part score of consecutive notes."""
    durations = np.ones(len(pitches)) if durations is None else np.asarray(durations, dtype=float)
    onset = np.concatenate([[0.0], np.cumsum(durations)[:-1]])
    return Score(
        onset=onset,
        duration=durations,
        pitch=np.asarray(pitches, dtype=np.int64),
        part=np.full(len(pitches), part, dtype=np.int64),
        metres=np.array([[0.0, *metre]]),
    )


def random_tune(rng: np.random.Generator, length: int = 60) -> np.ndarray:
    """A tune that wanders by small steps."""
    return np.clip(67 + np.cumsum(rng.choice([-4, -2, -1, 0, 1, 2, 3, 5], length)), 40, 95)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 40 clips; the notes it converted lie beside it."""
    from slapkit.data import scores

    return scores.build(size="smoke", clips=40, root=tmp_path_factory.mktemp("data"), progress=False)
