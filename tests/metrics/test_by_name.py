"""Precision by name: an oracle that orders ties in every way, chance for what knows nothing, what queries ask for."""

import itertools

import numpy as np
import pytest

from slapkit.data.scores.captions import BANKS, statements
from slapkit.errors import MetricError
from slapkit.metrics import by_name
from slapkit.metrics.by_name import precision_at


def oracle(scores, relevant, k) -> list[float]:
    """Every order of the clips that the scores allow: the mean share of relevant ones among the first."""
    means = []
    for row, right in zip(scores, relevant):
        first = min(k, sum(right))
        shares = []
        for order in itertools.permutations(range(len(row))):
            ranking = sorted(order, key=lambda n: -row[n])  # stable: equal scores keep the order of the permutation
            shares.append(sum(right[n] for n in ranking[:first]) / first)
        means.append(sum(shares) / len(shares))
    return means


@pytest.mark.parametrize("k", [1, 3, 10])
def test_precision_equals_the_mean_over_all_orders_of_ties(k):
    rng = np.random.default_rng(k)
    scores = rng.integers(0, 3, (12, 6)) / 4
    relevant = rng.random((12, 6)) < 0.4
    relevant[:, 0] |= ~relevant.any(axis=1)
    assert precision_at(scores=scores, relevant=relevant, k=k) == pytest.approx(oracle(scores, relevant, k))


def test_perfect_scores_are_right_and_constant_or_random_ones_are_chance():
    rng = np.random.default_rng(0)
    relevant = rng.random((300, 400)) < rng.uniform(0.02, 0.7, (300, 1))
    relevant[:, 0] |= ~relevant.any(axis=1)
    chance = relevant.mean(axis=1)
    assert precision_at(scores=relevant + 0.5 * rng.random(relevant.shape), relevant=relevant) == pytest.approx(1)
    assert precision_at(scores=np.full(relevant.shape, 0.3), relevant=relevant) == pytest.approx(chance)
    assert precision_at(scores=rng.random(relevant.shape), relevant=relevant).mean() == pytest.approx(
        chance.mean(), abs=0.02
    )
    with pytest.raises(MetricError, match="query 1 has no right answer"):
        precision_at(scores=np.ones((2, 2)), relevant=np.array([[True, False], [False, False]]))


def clips(count: int) -> list[dict]:
    """Facts as in the table of a corpus."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(count):
        drums, number = bool(rng.random() < 0.3), int(rng.integers(1, 4))
        row = {"instruments": [str(i) for i in rng.choice(["flute", "piano", "choir", "harp", "oboe"], number, False)]}
        row |= {"style": str(rng.choice(["jig", "waltz"])), "metre": str(rng.choice(["2/4", "3/4", "6/8"]))}
        row |= {"tempo_class": str(rng.choice(["slow", "fast"])), "mode": str(rng.choice(["major", "minor"]))}
        row |= {"drums": drums, "percussion": "drum kit" if drums else "", "texture": "chords", "accompaniment": ""}
        rows.append(row | {"register": "low", "articulation": "plain", "caption_facts": []})
    return rows


class Oracle:
    """A model whose text embedding of a query points at the clips that it means, as `asked` says."""

    def __init__(self, relevant: dict[str, np.ndarray]) -> None:
        self.relevant = relevant

    def embed_text(self, queries):
        return np.stack([self.relevant[query] + 1e-3 for query in queries])


def test_asking_gives_a_tidy_table_of_what_enough_clips_have():
    facts = clips(120)
    means = {"slow": lambda f: f["tempo_class"] == "slow", "in minor": lambda f: f["mode"] == "minor"}
    means |= {
        "with drums": lambda f: f["drums"],
        "no drums": lambda f: not f["drums"],
        "jig": lambda f: f["style"] == "jig",
    }
    means |= {
        "solo": lambda f: len(f["instruments"]) == 1 and not f["drums"],
        "harp": lambda f: "harp" in f["instruments"],
    }
    queries = {q for asked in by_name.QUERIES.values() for found in asked.values() for q in found} | {
        "jig", "waltz", "flute", "piano", "choir", "harp", "oboe",
    }  # fmt: skip
    truth = {query: np.array([means.get(query, lambda f: False)(f) for f in facts], float) for query in queries}
    table = by_name.ask(Oracle(truth), np.eye(len(facts)), facts).set_index("query")
    assert not set(table["asked"]) & {"tempo_class=medium", "texture=drone", "register=high"}, "no clip has it"
    for query in means:
        assert table.loc[query, "precision"] == 1 and table.loc[query, "chance"] == pytest.approx(truth[query].mean())
        assert table.loc[query, "clips"] == truth[query].sum()
    others = table.drop(index=list(means))
    assert others["precision"].to_numpy() == pytest.approx(others["chance"].to_numpy()), "all alike: chance"
    kinds = by_name.by_kind(table.reset_index())
    assert kinds["mode"]["precision"] == pytest.approx(table[table["kind"] == "mode"]["precision"].mean())
    assert kinds["instruments"]["queries"] == 5
    foreign = [{name: value for name, value in row.items() if name != "caption_facts"} for row in facts]
    assert by_name.by_kind(by_name.ask(Oracle(truth), np.eye(len(facts)), foreign)) == {}


def test_what_is_asked_for_exists_and_no_query_is_a_phrase_of_the_test_split():
    known = {f"drums={value}" for value in (True, False)}
    sections = {"TEMPO": "tempo_class", "MODE": "mode", "SIZE": "ensemble", "TEXTURE": "texture", "METRE": "metre"}
    sections |= {"REGISTER": "register", "ARTICULATION": "articulation", "SOUND": "sound"}
    for section, fact in sections.items():
        known |= {f"{fact}={value}" for value in BANKS[section]}
    asked = {said: queries for kind in by_name.QUERIES.values() for said, queries in kind.items()}
    assert set(asked) == known
    queries = [query for found in asked.values() for query in found]
    tested = {phrase for bank in BANKS.values() for sides in bank.values() for phrase in sides[1]}
    assert len(set(queries)) == len(queries) and not set(queries) & tested
    assert "voice=True" in statements(clips(1)[0] | {"instruments": ["choir"]})
