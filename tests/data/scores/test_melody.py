import numpy as np
import pytest

from slapkit.data.scores import melody
from slapkit.data.scores.score import Score
from tests.data.scores.conftest import make_score, random_tune


def slow_runs(score: Score, part: int) -> set[tuple[int, ...]]:
    """The runs of a part by loops: highest note of each onset, repeated pitches dropped, eight steps at a time."""
    highest: dict[float, int] = {}
    for onset, pitch, owner in zip(score.onset, score.pitch, score.part):
        if owner == part:
            highest[round(float(onset), 3)] = max(int(pitch), highest.get(round(float(onset), 3), 0))
    line: list[int] = []
    for onset in sorted(highest):
        if not line or line[-1] != highest[onset]:
            line.append(highest[onset])
    steps = [b - a for a, b in zip(line, line[1:])]
    return {tuple(steps[i : i + 8]) for i in range(len(steps) - 7)}


def slow_near(a: Score, b: Score) -> bool:
    """Whether two works are near-duplicates, by the definition and without an index."""
    for one in a.parts:
        for other in b.parts:
            runs, others = slow_runs(a, one), slow_runs(b, other)
            smaller = min(len(runs), len(others))
            shared = len(runs & others)
            if smaller >= 3 and shared >= min(8, smaller) and shared >= 0.4 * smaller:
                return True
    return False


def test_the_index_finds_the_pairs_that_loops_find():
    rng = np.random.default_rng(0)
    scores = {}
    tunes = [random_tune(rng, int(rng.integers(12, 80))) for _ in range(12)]
    for number in range(60):  # tunes quoted, cut, transposed and altered to all degrees
        tune = tunes[int(rng.integers(12))]
        cut = tune[int(rng.integers(0, len(tune) // 2)) :] + int(rng.integers(-7, 8))
        noise = np.where(rng.random(len(cut)) < rng.choice([0, 0.03, 0.1, 0.3]), rng.integers(-3, 4, len(cut)), 0)
        scores[f"{number:02d}"] = make_score(cut + noise)
    names = list(scores)
    expected = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if slow_near(scores[a], scores[b])]
    assert melody.near_duplicates(scores) == expected
    assert 10 < len(expected) < len(names) * (len(names) - 1) / 2


@pytest.mark.parametrize("shift", [-5, 3, 12])
def test_a_transposed_copy_under_another_name_is_grouped(shift):
    rng = np.random.default_rng(1)
    tunes = {f"book{i}": make_score(random_tune(rng)) for i in range(20)}
    tunes["other book"] = make_score(tunes["book7"].pitch + shift)
    groups = melody.group_works(tunes, {name: name for name in tunes})
    assert groups["other book"] == groups["book7"] and len(set(groups.values())) == 20


def test_rhythm_repeated_notes_ornaments_and_further_parts_do_not_hide_a_melody():
    rng = np.random.default_rng(2)
    tune = random_tune(rng, 80)
    plain = make_score(tune)
    dotted = make_score(np.repeat(tune, 2), durations=rng.choice([0.25, 0.5, 1.0], 160))
    ornamented = tune.copy()
    ornamented[[15, 50]] += 2
    below = make_score(random_tune(rng, 80) - 24, part=1)
    names = ("onset", "duration", "pitch", "part")
    both = {name: np.concatenate([getattr(plain, name), getattr(below, name)]) for name in names}
    scores = {"plain": plain, "dotted": dotted, "ornamented": make_score(ornamented)}
    scores |= {"choral": Score(**both, metres=plain.metres), "other": make_score(random_tune(rng, 80))}
    groups = melody.group_works(scores, {name: name for name in scores})
    assert groups == dict.fromkeys(scores, "choral") | {"other": "other"}
