"""Small scores and a small real corpus, built once for all tests of a session."""

from pathlib import Path

import numpy as np
import pytest

from slapkit.data.scores import soundfonts
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


def octave_higher(path: Path) -> Path:
    """Write the packaged SoundFont with all samples played twice as fast."""
    file = bytearray(Path(soundfonts.packaged()).read_bytes())
    place = file.index(b"shdr") + 8
    headers = np.frombuffer(file, dtype="V36,<u4,V6", count=(len(file) - place) // 46, offset=place).copy()
    headers["f1"] *= 2  # sample rates
    file[place : place + headers.nbytes] = headers.tobytes()
    path.write_bytes(file)
    return path


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Settings: the packaged SoundFont, one that differs in its comments alone, and an unseen one an octave higher."""
    folder = tmp_path_factory.mktemp("fonts")
    packaged = Path(soundfonts.packaged())
    (folder / "second.sf2").write_bytes(packaged.read_bytes().replace(b"INAM", b"ICMT", 1))
    unseen = octave_higher(folder / "unseen.sf2")
    return {"soundfonts": (str(packaged), str(folder / "second.sf2")), "unseen_soundfont": str(unseen)}


@pytest.fixture(scope="session")
def small_corpus(fonts: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 40 clips and 4 of the split "shift"; the notes it converted lie beside it."""
    from slapkit.data import scores

    return scores.build(size="smoke", clips=40, root=tmp_path_factory.mktemp("data"), progress=False, **fonts)
