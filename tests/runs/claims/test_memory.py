"""Peak memory, measured in processes of their own."""

import pytest

from slapkit.errors import RunError
from slapkit.runs.claims import memory
from tests.training.tones import make_tones


@pytest.mark.slow
def test_a_plain_batch_costs_memory_an_accumulated_one_does_not_and_nothing_is_measured_twice(tmp_path, monkeypatch):
    data = make_tones(tmp_path / "tones", clips=140, seconds=5).root
    given = {"cache_dir": tmp_path / "cache", "preset": "tiny", "batches": (8, 64), "micro": 8, "repetitions": 1}
    given |= {"kinds": ("accumulated", "plain"), "progress": False, "keep": tmp_path / "kept.json"}
    peaks = memory.peak_memory(data, **given)
    assert all(50 < value[0] < 5000 for value in peaks.values())
    accumulated, plain = (
        peaks[objective, kind, 64][0] - peaks[objective, kind, 8][0]
        for objective, kind in (("slap", "accumulated"), ("clap", "plain"))
    )
    assert plain > 20 and accumulated < plain / 3, (accumulated, plain)
    monkeypatch.setattr(memory, "_in_process", lambda arguments: pytest.fail("measured again"))
    assert memory.peak_memory(data, **given) == peaks


def test_a_process_that_fails_is_told_with_its_reason(tmp_path):
    given = {"cache_dir": tmp_path, "preset": "tiny", "batches": (8,), "micro": 8, "progress": False}
    with pytest.raises(RunError, match=r"memory of tiny slap 8 8 .* ended with 1: .*no data set at"):
        memory.peak_memory(tmp_path / "nothing", **given)
