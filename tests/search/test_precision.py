"""Asking a library for its own facts by name."""

from __future__ import annotations

import pytest

from slapkit.search.precision import column_to_ask, precision_by_label
from tests.viz.fakes import FakeLibrary


class Library(FakeLibrary):
    """A library whose first results are those that have the word asked for, or any where it knows nothing."""

    def __init__(self, size: int, knows: bool = True) -> None:
        super().__init__(size)
        self.knows = knows

    def search(self, query, *, k=10, where=None, literal=False):
        table = super().search(query, k=len(self), where=where)
        right = [query in [row["style"], *row["instruments"]] for _, row in table.iterrows()]
        return (table.assign(right=right).sort_values("right", ascending=False) if self.knows else table).head(k)


def test_a_library_that_knows_finds_all_and_chance_is_the_share_of_tracks():
    found = precision_by_label(Library(30), "style", k=5)
    assert list(found["share"]) == [1.0] * 3 and list(found["tracks"]) == [10] * 3
    assert found["chance"].tolist() == pytest.approx([1 / 3] * 3)


def test_shares_are_counted_as_a_loop_would_and_filters_hold():
    library, slow = Library(60, knows=False), {"tempo_class": "slow"}
    found = precision_by_label(library, "instruments", k=4, where=slow)
    assert set(found["value"]) == {"flute", "violin", "piano"}
    for row in found.itertuples():
        cells = library.search(row.value, k=4, where=slow)["instruments"]
        assert row.share == sum(row.value in cell for cell in cells) / 4
        tracks = library.tracks[library.tracks["tempo_class"] == "slow"]
        assert row.tracks == sum(row.value in cell for cell in tracks["instruments"]) == row.chance * len(tracks)


def test_what_few_or_all_have_is_not_asked_for_and_missing_facts_give_no_column():
    library = Library(12)
    assert precision_by_label(library, "style", k=5).empty
    # Every jig of the fake library has a flute and a violin.
    assert precision_by_label(library, "instruments", k=4, where={"style": "jig"}).empty
    assert column_to_ask(library) == "instruments"
    library.facets = lambda most=30: {"split": [("test", 12)]}
    assert column_to_ask(library) is None
