"""Is it true? The paper's claims (arXiv 2506.17815), each measured on a sweep of runs and judged by its interval.

`plan` names the runs to train, `measure` measures each of them, `estimate` combines the figures of several seeds,
`claims` judges, `report` writes the page.
"""

from slapkit.runs.claims.charts import charts, forest
from slapkit.runs.claims.claims import counts, judge, words
from slapkit.runs.claims.estimate import compare, contrast, estimate
from slapkit.runs.claims.measure import measure
from slapkit.runs.claims.memory import memory_of
from slapkit.runs.claims.plan import SIZES, cells, size
from slapkit.runs.claims.report import claims_table, tables, write_report
from slapkit.runs.claims.results import Results, collect, train
