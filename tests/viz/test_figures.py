"""Figures: titles are computed from the data, and what is drawn is the data."""

import json

import numpy as np
import pandas as pd
import pytest

from slapkit.metrics import retrieval_scores, text_to_audio_ranks
from slapkit.metrics.gap import recentred
from slapkit.viz import figures, theme
from slapkit.viz.maps import found_words, gap_report
from slapkit.viz.widgets import players
from tests.audio.encoding import encode
from tests.viz.fakes import make_clips, make_embedded


def metrics(recall=0.5, distance=0.1, clips=100, captions=500):
    scores = {"R@1": recall / 5, "R@5": recall / 2, "R@10": recall, "median_rank": 0.08, "mean_rank": 0.1}
    both = {"text_to_audio": scores, "audio_to_text": scores}
    return {
        "retrieval": {"q": both, "z": both},
        "gap": {"centroid_distance": distance, "linear_separability": 0.75},
        "health": {"effective_rank": 20.0},
        "protocol": {"candidates": clips, "queries": captions, "chance_R@10": 10 / clips},
    }


ROWS = [
    {"step": 10, "loss": 2.0},
    {"step": 20, "loss": None, "validation": {"R@10": 0.25, "effective_rank": 3.0}},
    {"step": 30, "loss": 1.0, "validation": {"R@10": 0.5, "effective_rank": 6.0}},
]


def title(figure):
    return figure.layout.title.text.replace("<br>", " ").replace("\u00a0", " ")


def test_training_curves_draw_every_finite_value_and_say_the_last():
    assert figures.curve(ROWS, "loss") == ([10, 30], [2.0, 1.0])
    loss = figures.loss_curves({"slap": ROWS, "clap": ROWS})
    assert title(loss) == "The loss falls: SLAP from 2.000 to 1.000 and CLAP from 2.000 to 1.000"
    assert [list(t.y) for t in loss.data] == [[2.0, 1.0]] * 2
    assert loss.data[0].line.color == theme.SLAP and loss.data[1].line.dash == "dash"
    recall = figures.recall_curves({"slap": ROWS}, chance=0.1)
    assert list(recall.data[0].y) == [25.0, 50.0] and "SLAP 50.0 %" in title(recall)
    assert "SLAP uses 6.0 dimensions" in title(figures.rank_curves({"slap": ROWS}))


def test_bars_show_percent_and_chance():
    both = {"slap": metrics(0.5), "clap": metrics(0.25, distance=0.3)}
    figure = figures.retrieval_bars(both)
    assert list(figure.data[0].y) == [10.0, 25.0, 50.0] and "SLAP 50.0 % and CLAP 25.0 %" in title(figure)
    np.testing.assert_allclose(figure.data[-1].y, [1, 5, 10])
    assert "SLAP has the smaller gap, 0.100; CLAP 0.300" in title(figures.gap_bars(both))


def test_corpus_figures_count_and_keep_names_harmless():
    frame = pd.DataFrame({"instruments": [["flute", "<b>x"], ["flute"], None], "tempo_bpm": [60, 90, 120]})
    figure = figures.counts(frame, "instruments", title="{n} kinds, first {first} in {share}")
    assert title(figure) == "2 kinds, first flute in 66.7 %"
    assert list(figure.data[0].x) == [2, 1] and figure.layout.yaxis.ticktext[1] == "&lt;b&gt;x"
    many = figures.counts(pd.DataFrame({"style": [f"s{i}" for i in range(40)]}), "style", title="{n}", top=9)
    assert many.layout.yaxis.ticktext[-1] == "31 others" and sum(many.data[0].x) == 40
    assert "faster than 90 bpm" in title(figures.tempo_histogram(frame))
    mixed = pd.DataFrame({"tempo_bpm": ["60", [90, 120], "fast", None], "style": [[], None, [], []]})
    assert "faster than 90 bpm" in title(figures.tempo_histogram(mixed))
    assert title(figures.tempo_histogram(mixed[2:])) == "No clip has a tempo"
    assert title(figures.counts(mixed, "style", title="{first}")) == "No clip has a value of style"


def test_the_gap_panel_draws_what_the_reports_hold(models):
    reports = [gap_report(model) for model in models]
    moved = figures.recentring(reports)
    for report, trace in zip(reports, moved.data[::3]):
        np.testing.assert_allclose(trace.y, [report.trained.distance.value, report.recentred.distance.value])
        np.testing.assert_allclose(trace.error_y.array[0], report.trained.distance.half_width)
    drawn = [trace for trace in figures.cosines(reports).data if trace.name == "matched"]
    assert len(drawn) == 2 * 2 * 3
    np.testing.assert_allclose([np.sum(t.y) * 2 / len(t.x) for t in drawn], 1, atol=1e-3)
    assert len(figures.spectra(reports).data) == 8 and "effective rank" in title(figures.spectra(reports))
    assert "**SLAP** leaves" in found_words(reports) and "recentred" in found_words(reports)


def test_the_gap_report_measures_before_and_after(models):
    slap, clap = (gap_report(model) for model in models)
    assert clap.trained.distance.value > max(3 * clap.recentred.distance.value, slap.trained.distance.value)
    audio, text, clip_of = models[1].audio().astype(float), models[1].text().astype(float), models[1].clip_of_caption
    moved = dict(zip(("audio", "text"), recentred(audio=audio, text=text)))
    ranks = text_to_audio_ranks(**moved, clip_of_caption=clip_of)
    assert clap.recentred.retrieval["text_to_audio"] == retrieval_scores(ranks)
    # How often any matched cosine beats any unmatched one, by comparing all.
    cosines, matched = text @ audio.T, clip_of[:, None] == np.arange(len(audio))
    wrong = cosines[~matched]
    share = np.mean([np.mean((right > wrong) + 0.5 * (right == wrong)) for right in cosines[matched]])
    assert clap.trained.cosines["across"].auc == pytest.approx(share, abs=1e-6)
    numbers = json.loads(json.dumps(clap.numbers(), allow_nan=False))
    assert numbers["as_trained"]["centroid_distance"] == clap.trained.distance.value


def test_a_collapsed_model_is_shown_as_far_as_it_can_be_measured():
    model = make_embedded(make_clips(None))
    for kind in "qz":
        model.arrays[f"{kind}_text"][:] = model.arrays[f"{kind}_text"][0]
        model.arrays[f"{kind}_last"] = model.arrays[f"{kind}_first"]  # clips of one window have no pair of them
    report = gap_report(model)
    assert report.recentred is None and report.numbers()["recentred"] is None
    assert report.trained.cosines["audio"].matched is None
    assert "has collapsed" in title(figures.recentring([report])) and "collapsed" in found_words([report])
    assert figures.cosines([report]).data and figures.spectra([report]).data


def test_players_escape_every_text_and_keep_files_small(tmp_path):
    sound, large = tmp_path / "a.ogg", tmp_path / "b.ogg"
    sound.write_bytes(b"OggS")
    large.write_bytes(b"0" * 1000)
    shown = players([(sound, '"><script>x', ["<i>y"]), (large, "b", [])], max_bytes=100).data
    assert "<script>" not in shown and "<i>y" not in shown and "&lt;i&gt;y" in shown
    other = encode(tmp_path / "c.wv", np.sin(np.arange(48000) / 9))
    assert "data:audio/ogg;base64,T2dnUw" in players([(other, "c", [])]).data, "what browsers do not play, as Ogg"
    (tmp_path / "<i>.wv").write_bytes(b"no sound")
    lost = players([(tmp_path / "<i>.wv", "d", []), (tmp_path / "gone.wav", "e", []), (sound, "f", [])]).data
    assert lost.count("<audio ") == 1 and "<i>" not in lost and "&lt;i&gt;.wv" in lost and "gone.wav" in lost
    assert 'preload="none"' in shown and "data:audio/ogg;base64,T2dnUw==" in shown and "too large" in shown
