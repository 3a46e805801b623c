"""Schedules by tables of numbers worked out by hand."""

import math

import pytest

from slapkit.training.schedules import tau_schedule, warmup_cosine

ROOT = math.sqrt(0.5)  # cos(pi / 4)


@pytest.mark.parametrize(
    ("total", "fraction", "rates"),
    [
        # Warm-up over a tenth (2 steps), then 18 steps of half a cosine: 1/6 of the way cos(pi / 6), 1/3, 1/2 ...
        (20, 0.1, {0: 0.5, 1: 1, 2: 1, 5: 0.5 + math.sqrt(3) / 4, 8: 0.75, 11: 0.5, 14: 0.25, 20: 0, 25: 0}),
        (1, 0.1, {0: 1}),  # a single step learns at the peak
        (4, 0.0, {0: 1, 1: 0.5 + ROOT / 2, 2: 0.5, 3: 0.5 - ROOT / 2}),  # no warm-up
        (8, 0.5, {0: 0.25, 3: 1, 6: 0.5}),
        (3, 0.99, {0: 1 / 3, 2: 1}),  # all of it is warm-up
        (100_000, 1e-9, {0: 1}),  # less than one step of warm-up is one step
    ],
)
def test_warmup_cosine_by_table(total, fraction, rates):
    for step, rate in rates.items():
        found = warmup_cosine(step=step, total=total, warmup_fraction=fraction, peak=4.0)
        assert found == pytest.approx(4 * rate, abs=1e-12), step


@pytest.mark.parametrize("total", [1, 2, 3, 600])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.99])
def test_every_step_learns_and_the_peak_is_reached_and_not_passed(total, fraction):
    rates = [warmup_cosine(step=s, total=total, warmup_fraction=fraction, peak=3e-4) for s in range(total)]
    assert all(0 < rate <= 3e-4 for rate in rates) and max(rates) == pytest.approx(3e-4)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    ("total", "start", "end", "taus"),
    [
        (5, 0.9, 1.0, {0: 0.9, 1: 0.95 - ROOT * 0.05, 2: 0.95, 3: 0.95 + ROOT * 0.05, 4: 1, 9: 1}),
        (5, 1.0, 0.9, {2: 0.95, 4: 0.9}),
        (1, 0.9, 1.0, {0: 0.9}),
        (2, 0.9, 1.0, {0: 0.9, 1: 1}),
    ],
)
def test_tau_by_table(total, start, end, taus):
    for step, tau in taus.items():
        assert tau_schedule(step=step, total=total, start=start, end=end) == pytest.approx(tau, abs=1e-12), step


def test_tau_of_the_paper_is_constant_to_the_bit():
    assert {tau_schedule(step=s, total=50, start=0.95, end=0.95) for s in range(50)} == {0.95}
