"""Verdicts follow from the figures: worlds in which a claim holds, fails, or cannot be told."""

import math

import pytest

from slapkit.errors import ConfigError, MetricError
from slapkit.runs import claims
from slapkit.runs.claims import results as training
from slapkit.runs.claims.claims import Evidence, Finding
from slapkit.runs.claims.plan import SIZES, cells
from slapkit.runs.sweeps import Sweep
from tests.runs.claims.made import results


def verdicts(made):
    return {finding.key: finding.verdict for finding in claims.judge(made)}


def world(**by_objective):
    """Keywords of runs by objective; BYOL is SLAP with lam 0."""

    def change(cell):
        label = "byol" if cell.parameters["lam"] == 0 else cell.parameters["objective"]
        return by_objective.get(label, {})

    return change


@pytest.mark.parametrize(
    ("value", "low", "high", "limits", "verdict"),
    [
        (0.1, 0.05, 0.2, {}, "holds"),
        (0.1, -0.05, 0.2, {}, "cannot be told"),
        (-0.1, -0.2, -0.05, {}, "does not hold"),
        (0.1, math.nan, math.nan, {}, "cannot be told"),
        (0.0, 0.0, 0.0, {}, "cannot be told"),
        (0.5, 0.48, 0.52, {"least": 0.45, "most": 0.55}, "holds"),
        (0.5, 0.40, 0.52, {"least": 0.45, "most": 0.55}, "cannot be told"),
        (0.7, 0.65, 0.75, {"least": 0.45, "most": 0.55}, "does not hold"),
        (0.3, 0.25, 0.35, {"least": 0.45, "most": 0.55}, "does not hold"),
    ],
)
def test_a_verdict_follows_from_the_interval(value, low, high, limits, verdict):
    assert Evidence("x", value, low, high, **limits).verdict == verdict


def test_a_difference_has_its_sign_and_a_share_none():
    units = {"points": "+1.0 points", "distance": "+0.010", "percent": "1.0 %", "ratio": "0.010 times"}
    for unit, words in units.items():
        assert Evidence("x", 0.01, -0.02, 0.03, least=-0.02, unit=unit).words().startswith(words)
    assert Evidence("x", -0.01, -0.02, 0.03).words().startswith("\u22121.0 points")
    assert Evidence("x", -0.0004, -0.0004, 0.03).words().startswith("+0.0 points (0.0 to"), "nothing is no less"


def test_a_claim_holds_only_if_all_of_its_evidence_does():
    yes, no, maybe = (Evidence("x", v, v - 0.1, v + 0.1) for v in (0.5, -0.5, 0.0))
    for evidence, missing, verdict in (
        ((yes, yes), "", "holds"),
        ((yes, no), "", "does not hold"),
        ((yes, maybe), "", "cannot be told"),
        ((yes,), "a run is missing", "cannot be told"),
        ((), "a run is missing", "cannot be told"),
        ((no,), "a run is missing", "does not hold"),
    ):
        assert Finding("k", "c", "s", evidence, missing).verdict == verdict


def test_where_slap_is_as_the_paper_says_its_claims_hold():
    change = world(
        slap={"shift": 0.1, "distance": 0.02, "separability": 0.5},
        clap={"distance": 0.3, "separability": 0.9},
        byol={"shift": -0.4, "distance": 0.5},
    )
    told = verdicts(results(change))
    for key in ("retrieval", "q", "gap", "no-gap", "inter-modal"):
        assert told[key] == "holds", key


def test_where_all_are_alike_nothing_is_claimed():
    made = results()
    told = verdicts(made)
    for key in ("retrieval", "gap", "inter-modal", "batch", "batch-slap", "tau"):
        assert told[key] == "cannot be told", key
    assert told["cached"] == "holds", "alike is what this claim says"


def test_collapse_is_counted_where_runs_were_lost_and_where_they_ended_collapsed():
    def outside(cell):
        return cell.study == "lam" and not 0.2 <= cell.x <= 0.7

    lost = results(lambda cell: None if outside(cell) else {}, collapsed=outside)
    assert verdicts(lost)["collapse"] == "holds"
    flat = results(lambda cell: {"rank": 1.01} if outside(cell) else {})
    assert verdicts(flat)["collapse"] == "holds"
    assert verdicts(results())["collapse"] == "does not hold"


def test_a_lost_cell_says_so_and_does_not_stop_the_others():
    made = results(lambda cell: None if cell.label == "clap" and cell.study == "models" else {})
    found = {finding.key: finding for finding in claims.judge(made)}
    assert "clap (models) did not end" in found["retrieval"].sentence
    assert found["retrieval"].verdict == "cannot be told" and found["q"].evidence


def test_memory_is_judged_by_its_ratio():
    def peaks(largest):
        return {("slap", "accumulated", 64): [400.0, 404.0], ("slap", "accumulated", 1024): largest}

    assert verdicts(results(memory=peaks([405.0, 410.0])))["memory"] == "holds"
    assert verdicts(results(memory=peaks([900.0, 910.0])))["memory"] == "does not hold"
    assert verdicts(results())["memory"] == "cannot be told"


@pytest.mark.parametrize("name", SIZES)
def test_a_plan_compares_like_with_like(name):
    plan = SIZES[name]
    planned = cells(plan)
    assert {cell.study for cell in planned} == {"models", "steps", "batch", "lam", "tau"}
    assert {round(c.x * plan.batch_size / plan.pairs, 2) for c in planned if c.study == "steps"} == set(plan.lengths)
    for cell in (c for c in planned if c.study != "steps"):
        shown = cell.parameters["steps"] * cell.parameters["batch_size"]
        assert plan.pairs - cell.parameters["batch_size"] < shown <= plan.pairs, "all are shown equally many pairs"
    base = next(c for c in planned if (c.study, c.label) == ("models", "slap")).parameters
    for cell in planned:
        if cell.study in ("lam", "tau"):
            assert {k for k in base if cell.parameters[k] != base[k]} <= {cell.study}, "a study varies one thing"
    for study, x in (("lam", plan.lam), ("tau", plan.tau)):
        (middle,) = [c for c in planned if c.study == study and c.x == x]
        assert middle.parameters == base, "the studies share their middle"


def test_sizes_are_checked():
    chosen = claims.size("cpu", seeds="3,4", workers=1)
    assert chosen.seeds == chosen.pair_seeds == (3, 4)
    for name, options, said in (
        ("gqu", {}, "gpu"),
        ("cpu", {"seeds": "a"}, "whole numbers"),
        ("cpu", {"workers": 0}, "workers"),
    ):
        with pytest.raises(ConfigError, match=said):
            claims.size(name, **options)
    for key, wrong in (("lams", (0.1,)), ("memory", (64, 200)), ("batches", (128, 1))):
        with pytest.raises(ConfigError, match=f"^{key}="):
            SIZES["cpu"].replace(**{key: wrong})
    with pytest.raises(MetricError, match="no cell"):
        results().of("lam", "slap", 0.123)


def test_slap_and_clap_are_trained_with_more_seeds_than_the_rest(monkeypatch):
    asked = []

    def sweep(notebook, cells, *, seeds, **given):
        asked.append([(cell, seed) for cell in cells for seed in seeds])
        return Sweep(notebook, [f"run {seed}" for seed in seeds], [f"failed {seed}" for seed in seeds])

    monkeypatch.setattr(training, "sweep", sweep)
    plan = SIZES["smoke"].replace(seeds=(0, 1), pair_seeds=(0, 1, 2, 3))
    planned, done = training.train(plan, data="somewhere")
    pair = [cell.parameters for cell in planned if cell.study == "models" and cell.label in ("slap", "clap")]
    assert len(asked[0]) == 2 * len(planned) and asked[1] == [(cell, seed) for cell in pair for seed in (2, 3)]
    assert done.runs == ["run 0", "run 1", "run 2", "run 3"] and len(done.failed) == 4
    asked.clear()
    training.train(plan.replace(pair_seeds=(0,)), data="somewhere")
    assert len(asked) == 1
