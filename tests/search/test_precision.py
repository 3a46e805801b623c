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


def test_a_library_that_knows_finds_all_and_what_few_or_all_have_is_not_asked_for():
    library = Library(30)
    found = precision_by_label(library, column_to_ask(library), k=5)
    assert set(found["value"]) == {"flute", "violin", "piano"} and list(found["share"]) == [1.0] * 3
    assert list(found["tracks"]) == [20] * 3 and found["chance"].tolist() == pytest.approx([2 / 3] * 3)
    assert precision_by_label(library, "style", k=11).empty
    # Every jig of the fake library has a flute and a violin.
    assert precision_by_label(library, "instruments", k=4, where={"style": "jig"}).empty
    library.facets = lambda most: {"split": [("test", 12)]}
    assert column_to_ask(library) is None


def test_shares_are_counted_as_a_loop_would_and_filters_hold():
    library, slow = Library(60, knows=False), {"tempo_class": "slow"}
    found = precision_by_label(library, "instruments", k=4, where=slow)
    tracks = library.tracks[library.tracks["tempo_class"] == "slow"]
    assert len(found) == 3
    for row in found.itertuples():
        cells = library.search(row.value, k=4, where=slow)["instruments"]
        assert row.share == sum(row.value in cell for cell in cells) / 4
        assert row.tracks == sum(row.value in cell for cell in tracks["instruments"]) == row.chance * len(tracks)
