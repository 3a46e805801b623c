"""Figures: pure functions of rows, tables and measurements that return a plotly `Figure` (those of the claims, an SVG).

Each figure answers one question, and its title is the answer, computed from the data. Recalls come in [0, 1].
"""

from slapkit.viz.figures.claims import claim_chart, claim_forest
from slapkit.viz.figures.gap import cosines, recentring, spectra
from slapkit.viz.figures.maps import Panel, joint_map, sentence_on_map, worst_pairs
from slapkit.viz.figures.runs import (
    asked_for,
    counts,
    curve,
    gap_bars,
    log_mel,
    loss_curves,
    rank_bars,
    rank_curves,
    recall_curves,
    retrieval_bars,
    tempo_histogram,
)  # fmt: skip
from slapkit.viz.figures.style import figure_bundle
