from __future__ import annotations

import sys

import pytest

from slapkit.data.scores import works
from slapkit.data.scores.convert import prepare_abc
from slapkit.errors import DataError


def test_the_package_holds_many_works_under_distinct_ids_without_being_imported():
    found = works.list_works()
    assert len(found) > 10_000
    assert len({work.id for work in found}) == len(found)
    assert {"bach", "palestrina", "essenFolksong", "ryansMammoth", "monteverdi"} <= {work.collection for work in found}
    assert "music21" not in sys.modules
    styles = {work.style for work in found}
    assert {"chorale", "mass", "reel", "jig", "folk song", "chinese folk song", "classical"} <= styles


def test_movements_of_one_quartet_and_parts_of_one_mass_are_one_family():
    found = {work.id: work for work in works.list_works()}
    quartet = {w.family for w in found.values() if w.id.startswith("mozart/k458/")}
    assert len(quartet) == 1
    masses = {w.family for w in found.values() if w.collection == "palestrina"}
    assert 80 < len(masses) < 130


def test_every_style_has_words():
    from slapkit.data.scores.phrases import STYLE

    assert {work.style for work in works.list_works()} <= set(STYLE)


def test_an_abc_file_is_split_into_its_tunes(tmp_path):
    folder = tmp_path / "tunes"
    folder.mkdir()
    (folder / "two.abc").write_text("% a book\nX:1\nT:First\nR:reel\nM:C\nK:G\nGABc|\n\nX:2\nT:Second\nK:D\ndefg|\n")
    first, second = works.list_works(tmp_path)
    assert (first.id, first.title, first.style) == ("tunes/two.abc#0", "First", "reel")
    assert second.title == "Second" and "First" not in (second.text or "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_scores_of_any_encoding_are_read(encoding):
    text = works.decode_text('<?xml version="1.0" encoding="x"?><score>é</score>'.encode(encoding))
    assert text == '<?xml version="1.0"?><score>é</score>'


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(DataError, match="no score"):
        works.list_works(tmp_path)


def test_repeat_signs_and_fields_without_notes_are_removed():
    text = prepare_abc("X:1\nT:A tune\nI: :: ::\nN:note\nM:6/8\nK:D\n|:f|D>ED F2G::A2d|1 AGF:|2 A3|]\n")
    assert "::" not in text and ":|" not in text and "|:" not in text and "N:" not in text
    assert "M:6/8" in text and "D>ED F2G|A2d" in text
