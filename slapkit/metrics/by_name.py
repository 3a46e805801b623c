"""Asked by name: plain queries for facts, and the share of the first results that have them.

Queries are fixed phrases of a word or a few, as people type them; none is a phrase of the captions of the test split.
What is asked for are `slapkit.data.scores.captions.statements`, such as "tempo_class=slow".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit.data.scores.captions import statements
from slapkit.errors import MetricError
from slapkit.metrics.checks import scored, unit_rows
from slapkit.metrics.retrieval import share_of_first
from slapkit.models.inference import Model

if TYPE_CHECKING:
    import pandas as pd

# kind -> what is asked for -> plain phrases; instruments and styles are asked by their own names.
QUERIES: dict[str, dict[str, tuple[str, ...]]] = {
    "drums": {"drums=True": ("drums", "with drums", "music with a drum beat")},
    "no drums": {"drums=False": ("no drums", "music without drums")},
    "tempo": {
        "tempo_class=slow": ("slow", "slow music", "a slow piece"),
        "tempo_class=medium": ("medium tempo", "moderate tempo", "neither slow nor fast"),
        "tempo_class=fast": ("fast", "fast music", "a fast piece"),
    },
    "mode": {
        "mode=major": ("in major", "major key", "music in a major key"),
        "mode=minor": ("in minor", "minor key", "music in a minor key"),
    },
    "sound": {
        "sound=acoustic": ("acoustic", "acoustic music"),
        "sound=electronic": ("electronic", "electronic music"),
    },
    "ensemble": {
        "ensemble=solo": ("solo", "a solo instrument", "unaccompanied"),
        "ensemble=duet": ("duet", "two instruments"),
        "ensemble=trio": ("trio", "three instruments"),
    },
    "texture": {
        "texture=single line": ("single melody line", "a melody alone"),
        "texture=octaves": ("melody in octaves", "in unison"),
        "texture=drone": ("melody over a drone",),
        "texture=chords": ("melody with chords", "a tune with accompaniment"),
        "texture=bass": ("melody and bass", "a tune with a bass line"),
        "texture=chordal": ("block chords", "chords in several voices"),
        "texture=counterpoint": ("counterpoint", "several independent voices"),
    },
    "metre": {
        "metre=duple": ("in duple time", "two beats to the bar"),
        "metre=triple": ("in triple time", "three beats to the bar"),
        "metre=quadruple": ("in four-four time", "four beats to the bar"),
        "metre=compound": ("in six-eight time", "in compound time"),
    },
    "register": {
        "register=low": ("low-pitched", "deep notes"),
        "register=high": ("high-pitched", "high notes"),
    },
    "articulation": {
        "articulation=staccato": ("staccato", "short notes"),
        "articulation=legato": ("legato", "smooth notes"),
    },
}
FIRST = 10  # results that are looked at
_OWN_NAMES = {"instruments": "instruments=", "style": "style="}


def precision_at(*, scores: np.ndarray, relevant: np.ndarray, k: int = FIRST) -> np.ndarray:
    """Return for each query `[Q]` the expected share of relevant clips among its first `k`, ties in random order.

    Where fewer than `k` clips are relevant, that many are looked at: perfect scores give 1, constant ones give chance,
    `relevant.mean(axis=1)`.

    Args:
        scores: `[Q, N]`, higher is better.
        relevant: bool `[Q, N]`.
        k: results looked at, at least 1.

    Raises:
        MetricError: shapes differ, scores are not finite, or a query has no relevant clip.
    """
    scores, relevant = scored(scores, relevant)
    if k < 1:
        raise MetricError(f"k={k} must be at least 1")
    return share_of_first(scores, relevant, np.minimum(k, relevant.sum(axis=1)))


def said_of(clips: Iterable[Mapping[str, Any]], asked: Sequence[Iterable[str]]) -> np.ndarray:
    """Return whether all statements that each of Q queries asks for are true of each of N clips, bool `[Q, N]`.

    Clips are given by their facts; those of data sets other than the score corpus have no statements.
    """
    said = [statements(facts) if "caption_facts" in facts else set() for facts in clips]
    return np.array([[set(wanted) <= own for own in said] for wanted in asked], dtype=bool).reshape(-1, len(said))


def ask(model: Model, audio: np.ndarray, clips: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Ask a model for the facts of the score corpus by name; what fewer than ten clips have is not asked for.

    Args:
        model: embeds the queries.
        audio: predictions of the clips `[N, D]`.
        clips: their facts.

    Returns:
        one row a query: kind, asked (the statement), query, precision in [0, 1], chance (share of clips that have it),
        clips (how many). Without rows where the clips are not of the score corpus.
    """
    import pandas as pd

    rows = [(kind, said, query) for kind, asked in QUERIES.items() for said, found in asked.items() for query in found]
    known = sorted(set().union(*(statements(facts) for facts in clips if "caption_facts" in facts)))
    for kind, start in _OWN_NAMES.items():
        rows += [(kind, said, said.removeprefix(start)) for said in known if said.startswith(start)]
    relevant = said_of(clips, [[said] for _, said, _ in rows])
    usual = relevant.sum(axis=1) >= FIRST
    table = pd.DataFrame(rows, columns=["kind", "asked", "query"])[usual].reset_index(drop=True)
    if table.empty:
        return table.assign(precision=[], chance=[], clips=[])
    text = model.embed_text(list(table["query"]))
    scores = unit_rows("queries", text) @ unit_rows("audio", audio).T
    found, counts = precision_at(scores=scores, relevant=relevant[usual]), relevant[usual].sum(axis=1)
    return table.assign(precision=found, chance=counts / len(clips), clips=counts)


def by_kind(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the mean of what `ask` found over the queries of each kind: precision, chance, queries."""
    groups = table.groupby("kind", sort=False)
    means = groups[["precision", "chance"]].mean().assign(queries=groups.size())
    return {str(kind): {name: float(value) for name, value in row.items()} for kind, row in means.iterrows()}
