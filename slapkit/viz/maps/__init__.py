"""Maps of a joint space: embeddings of a run, UMAP with new points placed on it, the gap panel, exported pages."""

from slapkit.metrics.embedded import Embedded
from slapkit.viz.maps.export import save_html
from slapkit.viz.maps.gap import GapReport, found_words, gap_report
from slapkit.viz.maps.points import color_columns, embed_run, panel, points_table, worst_table
from slapkit.viz.maps.umap import Map, MapConfig, MapStore, fit_map
from slapkit.viz.text import title_of
