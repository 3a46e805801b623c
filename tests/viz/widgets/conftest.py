"""Shared by the widgets' tests."""

from __future__ import annotations

import pytest

from slapkit.search.marks import Marks


@pytest.fixture
def marks(tmp_path):
    return Marks(tmp_path / "marks.json")
