"""Schedules by tables of numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from slapkit.training.schedules import tau_schedule, warmup_cosine

ROOT = math.sqrt(0.5)  # cos(pi / 4)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        # 20 steps, warm-up over a tenth (2 steps), peak 4; then 18 steps of half a cosine.
        (0, 2.0),
        (1, 4.0),
        (2, 4.0),
        (5, 2 + math.sqrt(3)),  # 1/6 of the way: cos(pi / 6) = sqrt(3) / 2
        (8, 3.0),  # 1/3: cos = 1/2
        (11, 2.0),  # 1/2: cos = 0
        (14, 1.0),
        (17, 2 - math.sqrt(3)),
        (19, 2 - 2 * math.cos(math.pi / 18)),
        (20, 0.0),
        (25, 0.0),
    ],
)
def test_warmup_cosine_by_table(step, rate):
    found = warmup_cosine(step=step, total=20, warmup_fraction=0.1, peak=4.0)
    assert found == pytest.approx(rate, abs=1e-12)


@pytest.mark.parametrize(
    ("step", "total", "fraction", "rate"),
    [
        (0, 1, 0.1, 1.0),  # a single step learns at the peak
        (0, 1, 0.0, 1.0),
        (0, 4, 0.0, 1.0),  # no warm-up
        (1, 4, 0.0, 0.5 + ROOT / 2),
        (2, 4, 0.0, 0.5),
        (3, 4, 0.0, 0.5 - ROOT / 2),
        (0, 8, 0.5, 0.25),
        (3, 8, 0.5, 1.0),
        (6, 8, 0.5, 0.5),
        (0, 3, 0.99, 1 / 3),  # all of it is warm-up
        (2, 3, 0.99, 1.0),
        (0, 100_000, 1e-9, 1.0),  # less than one step of warm-up is one step
    ],
)
def test_warmup_cosine_at_its_edges(step, total, fraction, rate):
    assert warmup_cosine(step=step, total=total, warmup_fraction=fraction, peak=1.0) == pytest.approx(rate, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 10, 600])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_every_step_learns_and_the_peak_is_reached_and_not_passed(total, fraction):
    rates = [warmup_cosine(step=s, total=total, warmup_fraction=fraction, peak=3e-4) for s in range(total)]
    assert all(0 < rate <= 3e-4 for rate in rates) and max(rates) == pytest.approx(3e-4)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    ("step", "total", "tau"),
    [
        (0, 5, 0.9),
        (1, 5, 0.95 - ROOT * 0.05),
        (2, 5, 0.95),
        (3, 5, 0.95 + ROOT * 0.05),
        (4, 5, 1.0),
        (9, 5, 1.0),
        (0, 1, 0.9),
        (0, 2, 0.9),
        (1, 2, 1.0),
    ],
)
def test_tau_by_table(step, total, tau):
    assert tau_schedule(step=step, total=total, start=0.9, end=1.0) == pytest.approx(tau, abs=1e-12)


def test_tau_of_the_paper_is_constant_to_the_bit():
    assert {tau_schedule(step=s, total=50, start=0.95, end=0.95) for s in range(50)} == {0.95}


def test_tau_may_fall_too():
    assert tau_schedule(step=2, total=5, start=1.0, end=0.9) == pytest.approx(0.95)
    assert tau_schedule(step=4, total=5, start=1.0, end=0.9) == pytest.approx(0.9)


@pytest.mark.parametrize("schedule", [warmup_cosine, tau_schedule])
def test_schedules_are_keyword_only(schedule):
    with pytest.raises(TypeError):
        schedule(0, 10, 0.1, 1.0)
