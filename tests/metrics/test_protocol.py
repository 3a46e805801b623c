"""Protocol cards: unlike figures cannot share a column, and what is written is what was measured."""

import json

import pytest

from slapkit.errors import ConfigError, MetricError
from slapkit.metrics.protocol import Column, Protocol, Score, Table

PROTOCOL = Protocol("scores", "abc", "test", "def", queries=2400, candidates=400, captions="all", embedding="q")
COLUMNS = [Column("R@10"), Column("gap", percent=False, digits=3)]


def score(value, **changes):
    return Score(value, PROTOCOL.replace(**changes), value - 0.03, value + 0.03)


@pytest.fixture
def table():
    first = {"R@10": score(0.66), "gap": score(0.143)}
    return Table(COLUMNS).add("SLAP", first).add("CLAP", {"R@10": score(0.694)})


@pytest.mark.parametrize(
    ("field", "value"),
    [("data_hash", "xyz"), ("split", "validation"), ("candidates", 500), ("captions", "first"), ("embedding", "z")],
)
def test_a_column_takes_one_protocol_and_names_what_differs(table, field, value):
    with pytest.raises(MetricError, match=rf"'SLAP' and 'other'.*'R@10'.*differ in {field} .*{value!r}"):
        table.add("other", {"R@10": score(0.5, **{field: value})})
    assert "other" not in table.rows
    assert "other" in table.add("other", {"gap": score(0.5)}).rows
    free = Table(COLUMNS, vary=[field]).add("a", {"R@10": score(0.5)})
    assert len(free.add("b", {"R@10": score(0.4, **{field: value})}).rows) == 2


def test_the_table_as_markdown_latex_and_json(table, tmp_path):
    assert table.cells() == [
        ["", "R@10 (%)", "gap"],
        ["SLAP", "66.0 (63.0–69.0)", "0.143 (0.113–0.173)"],
        ["CLAP", "69.4 (66.4–72.4)", "–"],
    ]
    assert table.to_markdown().splitlines()[:2] == ["|  | R@10 (%) | gap |", "| --- | ---: | ---: |"]
    assert table.to_latex().splitlines()[3] == r"\midrule"
    assert r"R@10 (\%)" in table.to_latex() and "66.0 (63.0--69.0)" in table.to_latex()
    content = json.loads(table.write(tmp_path / "scores.json").read_text())
    assert {row: {name: Score.from_dict(s) for name, s in own.items()} for row, own in content.items()} == table.rows
    nothing = Score.of((0.5, float("nan"), float("nan")), PROTOCOL)
    assert nothing.text(percent=True, digits=1) == "50.0" and Score.of((0.5, 0.4, 0.6), PROTOCOL).low == 0.4


def test_hostile_names_stay_names():
    name = "</td><script>alert(1)</script>|x_{y}\\input{z} & 5 %\n# h"
    table = Table(COLUMNS).add(name, {"R@10": score(0.5)})
    assert len(table.to_markdown().splitlines()) == 3
    assert table.to_markdown().splitlines()[2].replace("\\|", "").count("|") == 4
    latex = table.to_latex()
    assert r"\input" not in latex and r"\&" in latex and len(latex.splitlines()) == 7


def test_what_a_table_refuses(table):
    for row, scores, value in (("SLAP", {}, "'SLAP'"), ("x", {"R@1": score(0.1)}, "'R@1'.*'R@10'")):
        with pytest.raises(MetricError, match=value):
            table.add(row, scores)
    with pytest.raises(ConfigError, match="quries"):
        Protocol.from_dict(PROTOCOL.to_dict() | {"quries": 3})
