"""The errors view: the worst captions, what is shown for one, and what marks do to the metrics."""

import numpy as np
import pytest

from slapkit.viz.widgets import ErrorsView
from tests.viz.fakes import FakeLibrary, split_of


@pytest.fixture
def view(marks):
    library = FakeLibrary(20)
    return ErrorsView(library, split_of(library), marks, worst=10, k=4)


def places(view, row):
    """The tracks of one caption, best first, by plain loops."""
    scores = [float(np.dot(view.text[row], audio)) for audio in view.audio]
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def test_captions_are_listed_worst_first_and_opened_with_what_was_found(view):
    expected = [places(view, row).index(view.clip_of_caption[row]) + 1 for row in range(len(view.captions))]
    assert list(view.table["rank"]) == sorted(expected, reverse=True)
    for row, line in view.table.iterrows():
        assert line["rank"] == expected[row] and line["caption"] == view.captions[row]
        assert line["id"] == view.ids[view.clip_of_caption[row]]
    assert [c["caption"] for c in view.options["captions"]] == list(view.table.index[:10])
    row = int(view.table.index[0])
    reply = view.handle({"type": "open", "caption": row, "request": 1})
    order = places(view, row)
    assert [c["id"] for c in reply["own"]] == [view.table.iloc[0]["id"]]
    assert reply["own"][0]["rank"] == view.table.iloc[0]["rank"]
    assert [c["id"] for c in reply["found"]] == [view.ids[i] for i in order[:4] if i != view.clip_of_caption[row]]


def test_without_marks_nothing_changes_and_marks_count_as_right_answers(view):
    before = view.scores()
    assert before["q"]["before"] == before["q"]["after"] and before["marks"] == 0
    row = int(view.table.index[0])
    top = view.ids[places(view, row)[0]]
    reply = view.handle({"type": "mark", "model": "SLAP", "id": top, "caption": row, "on": True})
    assert reply["on"] and "→" in reply["status"] and "1 track marked" in reply["status"]
    after = view.scores()
    assert after["q"]["before"] == before["q"]["before"] and after["marks"] == 1
    assert after["q"]["after"]["R@1"] == pytest.approx(before["q"]["before"]["R@1"] + 1 / len(view.captions))
    view.handle({"type": "mark", "model": "SLAP", "id": top, "caption": row, "on": False})
    assert view.scores() == before
