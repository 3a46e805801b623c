"""Measured runs as a test needs them: figures with a known truth, no training."""

from pathlib import Path

import numpy as np

from slapkit.runs.claims.estimate import Measured, Quantity
from slapkit.runs.claims.plan import SIZES, cells
from slapkit.runs.claims.results import Results

WORKS = np.repeat(np.arange(80), 3)
CARD = {"data": "made", "data_hash": "abc", "split": "test", "split_hash": "def", "captions": "all", "seed": 0}
BASE = {"R@1": 0.2, "R@5": 0.5, "R@10": 0.6, "mean_rank": 0.1}
PLAN = SIZES["cpu"]


def units(mean, *, salt, seed, std=0.02):
    """Figures of queries whose works differ, alike for all models: `salt` tells noise of one model from another's."""
    hard = np.random.default_rng(7).normal(0, 0.1, 80)[WORKS]
    noise = np.random.default_rng([salt, seed])
    return mean + hard + noise.normal(0, std / 4) + noise.normal(0, std, len(WORKS))


def run(shift=0.0, *, salt=0, seed=0, distance=0.1, separability=0.7, rank=60.0, card=None, extra=None):
    """One measured run whose recalls lie `shift` above the base."""
    figures = {}
    for kind in "qz":
        for way in ("text_to_audio", "audio_to_text"):
            about = {"direction": way, "embedding": kind, "queries": len(WORKS), "candidates": 100}
            for name, mean in BASE.items():
                value = mean + shift - (0.05 if kind == "z" else 0)
                figures[f"{kind}.{way}.{name}"] = Quantity.mean(units(value, salt=salt, seed=seed), WORKS, **about)
        for name, mean in (("distance", distance), ("separability", separability)):
            made = Quantity.mean(units(mean, salt=salt, seed=seed), WORKS, embedding=kind)
            figures[f"{kind}.{name}"] = made
        figures[f"{kind}.effective_rank"] = Quantity.other(rank, None, WORKS, embedding=kind)
    return Measured(Path(f"runs/made-{salt}-{seed}"), seed, figures | (extra or {}), card or CARD)


def results(change=None, *, plan=PLAN, collapsed=None, memory=None):
    """Results of a whole plan; `change(cell)` gives keywords of `run` for a cell, None for a cell that gave no run."""
    planned = cells(plan)
    runs = []
    for salt, cell in enumerate(planned):
        settings = (change or (lambda cell: {}))(cell)
        runs.append([] if settings is None else [run(salt=salt, seed=s, **settings) for s in plan.seeds])
    lost = [3 if collapsed and collapsed(cell) else 0 for cell in planned]
    return Results(plan, planned, runs, lost, [], memory or {})
