"""Asking a library for its own facts by name."""

import pytest

from slapkit.search.precision import column_to_ask, precision_by_label
from tests.viz.fakes import FakeLibrary


class Library(FakeLibrary):
    def search(self, query, *, k=10, where=None, literal=True):
        return super().search(query, k=k, where=where)


@pytest.mark.parametrize("where", [None, {"tempo_class": "slow"}])
def test_shares_are_counted_as_a_loop_would_and_filters_hold(where):
    library = Library(60)
    found, tracks = precision_by_label(library, column_to_ask(library), k=4, where=where), library.tracks
    tracks = tracks[tracks["tempo_class"] == "slow"] if where else tracks
    assert set(found["value"]) == {"flute", "violin", "piano"}
    for row in found.itertuples():
        cells = library.search(row.value, k=4, where=where)["instruments"]
        assert row.share == sum(row.value in cell for cell in cells) / 4
        assert row.tracks == sum(row.value in cell for cell in tracks["instruments"]) == row.chance * len(tracks)


def test_what_few_or_all_have_is_not_asked_for():
    library = Library(30)
    assert len(precision_by_label(library, "style", k=10)) == 3 and precision_by_label(library, "style", k=11).empty
    # Every jig of the fake library has a flute and a violin.
    assert precision_by_label(library, "instruments", k=4, where={"style": "jig"}).empty
    library.facets = lambda most: {"split": [("test", 12)]}
    assert column_to_ask(library) is None
