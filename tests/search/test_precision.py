"""Asking a library for its own facts by name."""

from __future__ import annotations

import pytest

from slapkit.search import precision
from tests.viz.fakes import FakeLibrary


class Knowing(FakeLibrary):
    """A library whose first results are those that have the word asked for."""

    def search(self, query, *, k=10, where=None, literal=False):
        table = super().search("all", k=len(self), where=where)
        right = [query in [row["style"], *row["instruments"]] for _, row in table.iterrows()]
        return table.assign(right=right).sort_values("right", ascending=False, kind="stable").head(k)


def test_a_library_that_knows_finds_all_and_chance_is_the_share_of_tracks():
    found = precision.precision_by_label(Knowing(30), "style", k=5)
    assert list(found["share"]) == [1.0] * 3 and list(found["tracks"]) == [10] * 3
    assert found["chance"].tolist() == pytest.approx([1 / 3] * 3)
    lists = precision.precision_by_label(Knowing(30), "instruments", k=5)
    assert set(lists["value"]) == {"flute", "violin", "piano"} and list(lists["share"]) == [1.0] * 3


def test_shares_are_counted_as_a_loop_would_and_filters_hold():
    library, k = FakeLibrary(60), 4
    library.search = lambda query, literal=False, **more: FakeLibrary.search(library, query, **more)
    found = precision.precision_by_label(library, "instruments", k=k, where={"style": "jig"})
    jigs = [row for _, row in library.tracks.iterrows() if row["style"] == "jig"]
    for _, row in found.iterrows():
        results = library.search(row["value"], k=k, where={"style": "jig"})
        hits = sum(row["value"] in cell for cell in results["instruments"])
        assert row["share"] == hits / k
        assert row["tracks"] == sum(row["value"] in jig["instruments"] for jig in jigs)
    # Every jig of the fake library has a flute and a violin: what all have is not worth asking for.
    assert len(found) == 0
    assert set(precision.precision_by_label(library, "instruments", k=k)["value"]) == {"flute", "violin", "piano"}


def test_rare_values_are_left_out_and_missing_facts_give_no_column():
    library = Knowing(12)
    assert list(precision.precision_by_label(library, "style", k=5)["value"]) == []
    assert precision.column_to_ask(library) == "instruments"
    library.facets = lambda most=30: {"split": [("test", 12)]}
    assert precision.column_to_ask(library) is None
