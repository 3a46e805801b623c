"""Is it true? The paper's claims (arXiv 2506.17815), each measured on a sweep of runs and judged by its interval.

`plan` says what has to be trained, `measure` what is measured of each run, `estimate` how figures of several seeds are
brought together and compared, `claims` what follows for each claim, `report` writes it down.
"""

from slapkit.runs.claims.charts import charts, forest
from slapkit.runs.claims.claims import judge
from slapkit.runs.claims.estimate import compare, contrast, estimate
from slapkit.runs.claims.finding import Evidence, Finding, counts, words
from slapkit.runs.claims.measure import Measured, measure
from slapkit.runs.claims.plan import SIZES, Cell, Size, cells, size
from slapkit.runs.claims.report import claims_table, write_report
from slapkit.runs.claims.results import Results, collect
from slapkit.runs.claims.tables import tables
from slapkit.runs.claims.train import memory_of, train

__all__ = [
    "SIZES",
    "Cell",
    "Evidence",
    "Finding",
    "Measured",
    "Results",
    "Size",
    "cells",
    "charts",
    "claims_table",
    "collect",
    "compare",
    "contrast",
    "counts",
    "estimate",
    "forest",
    "judge",
    "measure",
    "memory_of",
    "size",
    "tables",
    "train",
    "words",
    "write_report",
]
