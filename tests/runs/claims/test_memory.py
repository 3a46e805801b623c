"""Peak memory, measured in processes of their own."""

import pytest

from slapkit.errors import RunError
from slapkit.runs.claims import memory
from slapkit.runs.claims.plan import Size
from tests.training.tones import make_tones

PLAN = Size(memory=(8, 48), micro_batch=8, repetitions=1)


@pytest.mark.slow
def test_a_plain_batch_costs_memory_an_accumulated_one_does_not_and_nothing_is_measured_twice(tmp_path, monkeypatch):
    data = make_tones(tmp_path / "tones", clips=100, seconds=5).root
    monkeypatch.delitem(memory.KINDS, "cached")  # two ways are enough here
    given = {"data": data, "cache_dir": tmp_path / "cache", "keep": tmp_path, "progress": False}
    peaks = memory.memory_of(PLAN, **given)
    assert all(50 < value[0] < 5000 for value in peaks.values())
    accumulated, plain = (
        peaks[objective, kind, 48][0] - peaks[objective, kind, 8][0]
        for objective, kind in (("slap", "accumulated"), ("clap", "plain"))
    )
    assert plain > 20 and accumulated < plain / 3, (accumulated, plain)
    monkeypatch.setattr(memory, "_in_process", lambda *_: pytest.fail("measured again"))
    assert memory.memory_of(PLAN, **given) == peaks


def test_a_process_that_fails_is_named_with_its_reason(tmp_path):
    with pytest.raises(RunError, match="tiny slap 8 8 .*nothing"):
        memory.memory_of(PLAN, data=tmp_path / "nothing", cache_dir=tmp_path, keep=tmp_path, progress=False)
