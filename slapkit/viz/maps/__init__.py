"""Maps of a joint space: embeddings of a run, UMAP with new points placed on it, the gap panel, exported pages."""

from slapkit._lazy import imported_from

_HOMES = {
    "Embedded": "points", "color_columns": "points", "embed_run": "points", "panel": "points", "points_table": "points",
    "title_of": "points", "worst_table": "points",
    "GapReport": "gap", "found_words": "gap", "gap_report": "gap",
    "Map": "umap", "MapConfig": "umap", "fit_map": "umap",
    "MapStore": "store",
    "save_html": "export",
}  # fmt: skip
__all__ = list(_HOMES)
__getattr__ = imported_from(__name__, _HOMES)
