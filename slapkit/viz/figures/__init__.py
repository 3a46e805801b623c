"""Figures: pure functions of rows, tables and measurements that return a plotly `Figure` (those of the claims, an SVG).

Each figure answers one question, and its title is the answer, computed from the data. Recalls come in [0, 1] and are
shown in percent, ranks as percent of the candidates, distances with three decimals.
"""

from slapkit.viz.figures.claims import claim_chart, claim_forest
from slapkit.viz.figures.corpus import counts, log_mel, tempo_histogram
from slapkit.viz.figures.gap import cosines, recentring, spectra
from slapkit.viz.figures.maps import Panel, joint_map, sentence_on_map, worst_pairs
from slapkit.viz.figures.runs import (
    asked_for,
    chance_recalls,
    curve,
    gap_bars,
    loss_curves,
    rank_bars,
    rank_curves,
    recall_curves,
    retrieval_bars,
)
from slapkit.viz.figures.style import figure_bundle
