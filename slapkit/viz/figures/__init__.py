"""Figures: pure functions of rows, tables and measurements that return a plotly `Figure`.

Each figure answers one question and its title is the answer, computed from the data it shows. Recalls come in [0, 1]
and are shown in percent, ranks as percent of the candidates, distances with three decimals.
"""

from slapkit.viz.figures.claims import claim_chart, claim_forest
from slapkit.viz.figures.corpus import counts, log_mel, tempo_histogram
from slapkit.viz.figures.gap import cosines, recentring, spectra
from slapkit.viz.figures.map_views import sentence_on_map, worst_pairs
from slapkit.viz.figures.maps import Panel, joint_map
from slapkit.viz.figures.measures import chance_recalls, gap_bars, rank_bars, retrieval_bars
from slapkit.viz.figures.training import curve, loss_curves, rank_curves, recall_curves

__all__ = [
    "Panel",
    "chance_recalls",
    "claim_chart",
    "claim_forest",
    "cosines",
    "counts",
    "curve",
    "gap_bars",
    "joint_map",
    "log_mel",
    "loss_curves",
    "rank_bars",
    "rank_curves",
    "recall_curves",
    "recentring",
    "retrieval_bars",
    "sentence_on_map",
    "spectra",
    "tempo_histogram",
    "worst_pairs",
]
