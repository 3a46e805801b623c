import json
import xml.etree.ElementTree as ET

import pytest

from slapkit.errors import MetricError
from slapkit.metrics.protocol import markdown
from slapkit.runs import claims
from slapkit.runs.claims.report import copy_report
from slapkit.runs.record import Run
from slapkit.runs.sweeps import Sweep
from slapkit.viz import figures
from tests.runs.claims.made import CARD, PLAN, results, run


def lost(cell):
    return None if cell.study == "lam" and cell.x == 0.7 else {}


@pytest.fixture(scope="module")
def made():
    memory = {
        (objective, kind, batch): [400.0, 410.0]
        for objective, kind in (("slap", "accumulated"), ("clap", "plain"), ("clap", "cached"))
        for batch in PLAN.memory
    }
    return results(lost, collapsed=lambda cell: lost(cell) is None, memory=memory)


def test_the_page_holds_every_claim_its_pictures_and_tables(made, tmp_path):
    findings = claims.judge(made)
    made.failed.append("objective=slap, lam=0.7 | <b>bad</b>")
    sweep = Sweep("02_train", [Run(tmp_path, {"data_note": "captions that <i>a tagger</i> wrote"}, {})])
    page = claims.write_report(tmp_path, made, findings, size="cpu", sweep=sweep)
    text = page.read_text(encoding="utf-8")
    for finding in findings:
        assert f"| {markdown(finding.claim)} | **{finding.verdict}** |" in text
    pictures = [part.split(")")[0] for part in text.split("](figures/")[1:]]
    assert len(pictures) >= 9
    for name in pictures:
        assert ET.parse(tmp_path / "figures" / name).getroot().tag.endswith("svg")
    assert "<b>" not in text and "<i>" not in text and "cannot be told" in text
    assert "a tagger" in text, "a page of such a model says who wrote its captions"
    kept = json.loads((tmp_path / "findings.json").read_text())
    assert {key: value["verdict"] for key, value in kept.items()} == {f.key: f.verdict for f in findings}
    copied = copy_report(tmp_path, tmp_path / "elsewhere")
    assert copied.read_bytes() == page.read_bytes()
    assert {p.name for p in (tmp_path / "elsewhere" / "figures").iterdir()} == set(pictures)
    cards = json.loads((tmp_path / "tables" / "retrieval.json").read_text())
    assert cards["SLAP"]["T→A R@10"]["protocol"]["data_hash"] == "abc"
    assert (tmp_path / "tables" / "retrieval.tex").read_text().startswith(r"\begin{tabular}")


def test_charts_show_what_they_are_made_of(made):
    charts = claims.charts(made)
    (line,) = charts["lam"].lines
    assert line.lost == [0.7] and len(line.points) == len(PLAN.lams) - 1 and "0.7" in charts["lam"].title
    for x, interval in line.points:
        found = claims.estimate(made.of("lam", "slap", x), "q.text_to_audio.R@10")
        assert tuple(interval) == pytest.approx([100 * value for value in found])
    picture = figures.claim_chart(charts["batch"]).decode()
    assert all(f">{words}<" in picture for words in ("SLAP, accumulated", "CLAP, plain batch", "CLAP, cached"))
    assert "collapsed" in figures.claim_chart(charts["lam"]).decode()


def test_runs_of_other_data_are_not_put_into_one_table():
    other = run(card=CARD | {"data_hash": "zzz"})
    with pytest.raises(MetricError, match=r"data_hash \(abc and zzz\)"):
        claims.compare([run()], [other], "q.text_to_audio.R@10")
    made = results()
    number = [(cell.study, cell.label) for cell in made.cells].index(("models", "clap"))
    made.runs[number] = [run(seed=seed, card=CARD | {"data_hash": "zzz"}) for seed in PLAN.seeds]
    with pytest.raises(MetricError, match=r"data_hash"):
        claims.tables(made)


def test_more_seeds_of_two_models_count_in_their_difference_and_not_in_tables_of_all():
    made = results()
    number = [(cell.study, cell.label) for cell in made.cells].index(("models", "slap"))
    before = claims.charts(made)["retrieval"]
    more = [run(0.3, salt=number, seed=seed) for seed in range(50, 54)]
    made.runs[number] = [*made.runs[number], *more]
    assert set(claims.tables(made)) == set(claims.tables(made.alike()))
    assert [m.seed for m in made.alike().runs[number]] == list(PLAN.seeds)
    assert repr(claims.charts(made)["retrieval"]) == repr(before)
