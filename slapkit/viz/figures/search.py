"""Search: how often what is asked for by name is in what is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from slapkit.models import OBJECTIVE_NAMES
from slapkit.viz import theme
from slapkit.viz.figures.style import finish, joined

if TYPE_CHECKING:
    import pandas as pd

LONGEST_NAME = 24  # characters of a value on the axis


def asked_for(found: Mapping[str, pd.DataFrame], *, what: str, k: int) -> go.Figure:
    """Answer how often the first `k` results have the value that was asked for, with chance as a mark.

    Args:
        found: by model name ("SLAP"), the table of `slapkit.search.precision.found_by_name`; the same values in each.
        what: the column in words, such as "instrument".
    """
    first = next(iter(found.values()))
    # Values come from the data: their markup is shown, not obeyed.
    values = [str(v)[:LONGEST_NAME].replace("&", "&amp;").replace("<", "&lt;") for v in first["value"]]
    figure = go.Figure()
    for name, table in found.items():
        key = next((k for k, label in OBJECTIVE_NAMES.items() if label == name), "")
        figure.add_bar(
            x=values,
            y=100 * table["share"],
            name=name,
            marker={"color": theme.OBJECTIVE.get(key, theme.NEUTRAL), "pattern_shape": "/" if key == "clap" else ""},
            hovertemplate="%{x}: %{y:.1f} %<extra>" + name + "</extra>",
        )
    figure.add_scatter(
        x=values,
        y=100 * first["chance"],
        mode="markers",
        name="by chance",
        marker={"symbol": "line-ew-open", "size": 16, "color": theme.NEUTRAL, "line_width": 2},
        hovertemplate="%{x}: %{y:.1f} % of all<extra>by chance</extra>",
    )
    figure.update_yaxes(title_text=f"of the first {k} results (%)", range=[0, 103])
    figure.update_xaxes(title_text=f"{what} asked for")
    figure.update_layout(barmode="group")
    means = joined([f"{100 * table['share'].mean():.1f} % ({name})" for name, table in found.items()])
    chance = f"{100 * first['chance'].mean():.1f} %"
    title = f"Asked for by name, the {what} is in {means} of the first {k} results; chance {chance}"
    return finish(figure, title, height=400)
