"""Conversion depends on the work alone, not on what was converted before it."""

from __future__ import annotations

import os

import pytest

from slapkit.data.scores import convert
from slapkit.data.scores.works import list_works


def test_one_work_leaves_nothing_behind_for_the_next(tmp_path):
    """verovio plays this jig with the B flat of a tune read before it, unless it starts afresh."""
    every = {work.id: work for work in list_works()}
    jig = every["ryansMammoth/FlamingOFlanigansJig.abc#0"]
    others = [work for name, work in sorted(every.items()) if name.startswith("ryansMammoth/") and work is not jig][:12]
    alone, _ = convert.convert_works([jig], tmp_path / "alone", workers=1, progress=False)
    after, _ = convert.convert_works([*others, jig], tmp_path / "after", workers=1, progress=False)
    assert alone[jig.id].read_bytes() == after[jig.id].read_bytes()


def test_a_fork_tells_what_went_wrong():
    def refuse(_):
        raise ValueError("no score")

    assert convert._isolated(lambda x: x * 2, b"ab") == b"abab"
    with pytest.raises(ValueError, match="no score"):
        convert._isolated(refuse, None)
    with pytest.raises(ValueError, match="crashed"):
        convert._isolated(lambda _: os._exit(3), None)
