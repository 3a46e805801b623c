"""Works are found and converted to notes, each in a process that may hang or crash."""

import os
import signal
import sys
import time

import pytest

from slapkit._pool import run_tasks
from slapkit.data.scores import convert, works
from slapkit.data.scores.score import Score
from slapkit.data.scores.works import Work
from slapkit.errors import DataError, StorageError

ABC = "X:1\nT:Good\nM:4/4\nL:1/8\nK:G\nGABc dedB|GABc dedB|\n"


def test_the_package_holds_many_works_without_being_imported():
    found = works.list_works()
    assert len({work.id for work in found}) == len(found) > 10_000
    assert {"bach", "palestrina", "essenFolksong", "ryansMammoth", "monteverdi"} <= {work.collection for work in found}
    assert "music21" not in sys.modules
    kinds = {work.kind for work in found}
    assert {"chorale", "mass", "reel", "jig", "folk song", "chinese folk song", "classical"} <= kinds
    # Movements of one quartet and parts of one mass are one family.
    assert len({w.family for w in found if w.id.startswith("mozart/k458/")}) == 1
    assert 80 < len({w.family for w in found if w.collection == "palestrina"}) < 130


def test_an_abc_file_is_split_into_its_tunes(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        works.list_works(tmp_path)
    folder = tmp_path / "tunes"
    folder.mkdir()
    (folder / "two.abc").write_text("% a book\nX:1\nT:First\nR:reel\nM:C\nK:G\nGABc|\n\nX:2\nT:Second\nK:D\ndefg|\n")
    first, second = works.list_works(tmp_path)
    assert (first.id, first.title, first.kind) == ("tunes/two.abc#0", "First", "reel")
    assert second.title == "Second" and "First" not in second.text


def test_long_musicxml_is_cut_part_by_part():
    parts = ["".join(f"<measure number='{n}'><note/></measure>" for n in range(count)) for count in (200, 20)]
    text = "<score><part-list><score-part id='P1'/></part-list>" + "".join(f"<part id='P'>{p}</part>" for p in parts)
    cut = convert.shorten_xml(text + "</score>")
    assert cut.startswith("<score><part-list><score-part id='P1'/></part-list><part id='P'>")
    assert [part.count("<note/>") for part in cut.split("</part>")] == [80, 20, 0] and cut.endswith("</part></score>")


def test_one_work_leaves_nothing_behind_for_the_next(tmp_path):
    """verovio plays this jig with the B flat of a tune read before it, unless it starts afresh."""
    every = {work.id: work for work in works.list_works()}
    jig = every["ryansMammoth/FlamingOFlanigansJig.abc#0"]
    others = [work for name, work in sorted(every.items()) if name.startswith("ryansMammoth/") and work is not jig][:12]
    alone, _ = convert.convert_works([jig], tmp_path / "alone", workers=1, progress=False)
    after, _ = convert.convert_works([*others, jig], tmp_path / "after", workers=1, progress=False)
    assert alone[jig.id].read_bytes() == after[jig.id].read_bytes()


def test_works_that_cannot_be_converted_are_listed_and_left_out(tmp_path):
    texts = {"good": ABC, "empty": "", "nonsense": "<mei><broken"}
    several = [Work(name, "user", "reel", name, name, "", text) for name, text in texts.items()]
    several.append(Work("missing", "user", "reel", "missing", "missing", str(tmp_path / "good.xml")))
    (tmp_path / "good.xml").write_text("not a score at all")
    paths, failures = convert.convert_works(several, tmp_path / "notes", workers=2, progress=False)
    assert list(paths) == ["good"] and set(failures) == {"empty", "nonsense", "missing"}
    assert all(failures.values()) and len(Score.read(paths["good"])) == 16


def behave(task: str) -> str:
    if task == "hang":
        time.sleep(60)
    if task == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "raise":
        raise ValueError("no such key")
    if task == "full":
        raise StorageError("no space left")
    return task.upper()


def test_tasks_that_hang_crash_or_raise_are_reported_and_the_others_done():
    tasks = ["a", "hang", "b", "crash", "c", "raise", "d"]
    results = {tasks[i]: rest for i, *rest in run_tasks(behave, tasks, workers=2, timeout_s=2.0, quiet=True)}
    assert {k: v for k, (v, problem) in results.items() if problem is None} == {t: t.upper() for t in "abcd"}
    assert "2 s" in results["hang"][1] and "crashed" in results["crash"][1] and "no such key" in results["raise"][1]
    with pytest.raises(StorageError):  # a full disk ends the run
        list(run_tasks(behave, ["full", "a"], workers=1, timeout_s=10))
    assert list(run_tasks(behave, [], workers=2, timeout_s=1)) == []
