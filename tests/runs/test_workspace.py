"""What every notebook begins with."""

import pandas as pd

from slapkit.runs import workspace


def test_no_table_of_a_notebook_is_typeset(tmp_path):
    with pd.option_context("display.html.use_mathjax", True):
        workspace("nb", str(tmp_path))
        assert "mathjax_ignore" in pd.DataFrame({"captions": ["$5 and $6"]})._repr_html_()
