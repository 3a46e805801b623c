"""Rooms, equaliser, noise and level are those of the facts, measured on the wave."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import signal

from slapkit.data.scores import room

RATE = 48_000
DRY = room.Chain(room="dry", reverb_s=0, wet_db=0, tilt_db=0, cutoff_hz=0, noise_db=0, level_db=-20)


def after(wave: np.ndarray, seed: int = 0, rate: int = 32_000, **changes) -> np.ndarray:
    return room.apply(wave, RATE, rate, dataclasses.replace(DRY, **changes), np.random.default_rng(seed))


def noise(seconds: float = 4.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE))).astype(np.float32)


def db(power: np.ndarray | float) -> np.ndarray:
    return 10 * np.log10(power)


def test_a_dry_clip_is_the_wave_at_another_rate_and_level():
    time = np.arange(2 * RATE) / RATE
    for rate in (8_000, 22_050, 32_000, 48_000):
        out = after(np.sin(2 * np.pi * 440 * time).astype(np.float32), rate=rate)
        expected = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate) * 0.1 * math.sqrt(2)
        assert out.dtype == np.float32 and np.abs(out - expected)[rate // 10 : -rate // 10].max() < 1e-3
    assert abs(db(np.mean(after(noise(), level_db=-24.0) ** 2)) + 24) < 0.05
    click = after(np.eye(1, RATE, 100, dtype=np.float32)[0], level_db=-14)
    assert db(np.abs(click).max() ** 2) == pytest.approx(room.PEAK_DB, abs=0.01), "the peak limits the level"


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_reverberation_decays_in_its_time(seconds):
    click = after(np.eye(1, 4 * RATE, 0, dtype=np.float32)[0], reverb_s=seconds, wet_db=0, level_db=-60)
    tail = click[round(0.04 * 32_000) :].astype(np.float64)
    left = db(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2) + 1e-12)  # Schroeder's integral
    five, twenty = (int(np.argmax(left < level)) / 32_000 for level in (-5, -20))
    assert 4 * (twenty - five) == pytest.approx(seconds, rel=0.2)
    # Above 5 kHz rooms swallow sound: the energies are compared below.
    direct, rest = (np.abs(np.fft.rfft(part, 2**18)[: 2**12]) ** 2 for part in (click[:250], click[250:]))
    assert db(rest.mean() / direct.mean()) == pytest.approx(0, abs=1.5)


def test_noise_lies_as_far_below_as_it_says():
    for level in (25.0, 45.0):
        clean, heard = after(noise()), after(noise(), noise_db=level)
        scale = np.dot(clean, heard) / np.dot(clean, clean)
        assert db(np.mean((scale * clean) ** 2) / np.mean((heard - scale * clean) ** 2)) == pytest.approx(level, abs=1)


def test_the_spectrum_tilts_and_ends_where_it_says():
    def levels(wave: np.ndarray) -> dict[int, float]:
        frequency, power = signal.welch(wave, 32_000, nperseg=2048)
        return {f: float(db(power[(frequency > 0.8 * f) & (frequency < 1.2 * f)].mean())) for f in (250, 2000, 8000)}

    changes = ({}, {"tilt_db": 2.0}, {"cutoff_hz": 4000})
    flat, tilted, cut = (levels(after(noise(), **change)) for change in changes)
    gain = {f: tilted[f] - flat[f] for f in flat}
    assert gain[2000] - gain[250] == pytest.approx(6, abs=0.5) and gain[8000] - gain[2000] == pytest.approx(4, abs=0.5)
    loss = {f: cut[f] - flat[f] for f in flat}
    assert abs(loss[2000] - loss[250]) < 0.5 and loss[8000] < loss[250] - 20


def test_half_of_the_clips_stay_nearly_dry_and_all_repeat():
    chains = [room.draw_chain(np.random.default_rng(seed)) for seed in range(2000)]
    dry = [chain for chain in chains if chain.room == "dry"]
    assert 0.45 < len(dry) / 2000 < 0.55 and min(chain.noise_db for chain in dry) >= 40
    assert {chain.room for chain in chains} == {"dry", "small", "large"}
    assert chains[:5] == [room.draw_chain(np.random.default_rng(seed)) for seed in range(5)]
    for chain in chains[:3]:
        values = dataclasses.asdict(chain)
        assert np.array_equal(after(noise(), 7, **values), after(noise(), 7, **values))
