"""Windows: every start is drawn, evaluation covers all, short clips repeat."""

import numpy as np
import pytest

from slapkit.audio import windows
from slapkit.errors import AudioError


def test_every_start_is_drawn_the_last_included_and_evenly():
    draws = windows.random_start(np.full(20000, 13), 10, np.random.default_rng(0))
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [0, 1, 2, 3]
    assert counts.min() > 4700 and draws.dtype == np.int64


def test_starts_of_clips_of_different_length():
    rng = np.random.default_rng(0)
    n = np.array([5, 10, 11, 30])
    draws = np.stack([windows.random_start(n, 10, rng) for _ in range(2000)])
    assert draws.min(0).tolist() == [0, 0, 0, 0]
    assert draws.max(0).tolist() == [0, 0, 1, 20]
    assert np.array_equal(
        windows.random_start(n, 10, np.random.default_rng(1)), windows.random_start(n, 10, np.random.default_rng(1))
    )
    assert int(windows.random_start(10, 10, rng)) == 0


@pytest.mark.parametrize("n", range(1, 40))
@pytest.mark.parametrize(("length", "hop"), [(10, None), (10, 5), (1, 1), (7, 3)])
def test_tiles_cover_all_and_are_full(n, length, hop):
    starts = windows.tiled_starts(n, length, hop)
    if n <= length:
        assert starts.tolist() == [0]
        return
    assert starts[0] == 0 and starts[-1] == n - length and (np.diff(starts) > 0).all()
    assert np.diff(starts).max(initial=0) <= (hop or length), "no gap"


@pytest.mark.parametrize("length", [1, 2, 7, 10])
def test_overlapping_windows_hold_the_tiles_and_lie_half_a_window_apart(length):
    for n in range(1, 60):
        tiles, starts = windows.tiled_starts(n, length), windows.overlapping_starts(n, length)
        assert np.isin(tiles, starts).all() and (np.diff(starts) > 0).all()
        assert np.diff(starts).max(initial=0) <= max(1, (length + 1) // 2) and len(starts) < 2 * len(tiles)


@pytest.mark.parametrize("n", [1, 3, 7, 10, 12])
def test_a_short_signal_is_filled_with_itself_over_and_over(n):
    x = np.random.default_rng(n).standard_normal((2, n))
    padded = windows.fill(x, 10)
    assert padded.shape == (2, max(n, 10))
    for i in range(padded.shape[1]):
        assert np.array_equal(padded[:, i], x[:, i % n])


def test_take_wraps_round():
    x = np.arange(5)
    assert windows.take(x, 1, 3).tolist() == [1, 2, 3]
    assert windows.take(x, 3, 6).tolist() == [3, 4, 0, 1, 2, 3]
    with pytest.raises(AudioError):
        windows.take(np.zeros(0), 0, 2)
