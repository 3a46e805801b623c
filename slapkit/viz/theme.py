"""Colours, plotly templates and CSS variables of all figures, widgets and pages.

A colour has one meaning, which shape, dash or hatching repeats for colour-blind readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

AUDIO, TEXT = "#3366AA", "#EE8833"
SLAP, CLAP, SIGLIP = "#228866", "#884499", "#887755"
NEUTRAL, WARNING = "#888888", "#CC3344"

MODALITY = {"audio": AUDIO, "text": TEXT}
SYMBOL = {"audio": "circle", "text": "diamond"}
OBJECTIVE = {"slap": SLAP, "clap": CLAP, "siglip": SIGLIP}
DASH = {"slap": "solid", "clap": "dash", "siglip": "dot"}
HATCH = {"slap": "", "clap": "/", "siglip": "\\"}
VERDICT = {"holds": SLAP, "does not hold": WARNING, "cannot be told": NEUTRAL}

# Okabe and Ito's colour-blind-safe palette; grey is "other".
CATEGORIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A6A00", "#5B3A8C", "#4D4D4D")
OTHER = "#BBBBBB"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LIGHT = {"paper": "#FFFFFF", "text": "#222222", "soft": "#5A5A5A", "grid": "#E4E4E4", "line": "#CCCCCC"}
DARK = {"paper": "#1C1E21", "text": "#E8E8E8", "soft": "#A8A8A8", "grid": "#33363A", "line": "#4A4E54"}
# The same hues, light enough for a dark page.
DARK_OBJECTIVE = {"slap": "#44BB8C", "clap": "#BB7FCC", "siglip": "#B5A37D"}


def objective_color(objective: str, *, dark: bool = False) -> str:
    """Return the colour of an objective, grey for an unknown one."""
    return (DARK_OBJECTIVE if dark else OBJECTIVE).get(objective, NEUTRAL)


def _layout(colors: dict[str, str]) -> dict[str, Any]:
    axis = {"gridcolor": colors["grid"], "automargin": True, "title": {"font": {"size": 13, "color": colors["soft"]}}}
    axis |= dict.fromkeys(("linecolor", "zerolinecolor", "tickcolor"), colors["line"])
    title = {"font": {"size": 16}, "x": 0.0, "xanchor": "left", "y": 1.0, "yanchor": "top", "pad": {"l": 14, "t": 40}}
    ground = {"paper_bgcolor": colors["paper"], "plot_bgcolor": colors["paper"], "colorway": list(CATEGORIES)}
    return ground | {
        "font": {"family": FONT, "size": 13, "color": colors["text"]},
        "title": title,
        "xaxis": axis,
        "yaxis": axis,
        # Inside the figure's frame but above the data, never over it.
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0.0, "xanchor": "left"},
        "margin": {"l": 60, "r": 24, "t": 84, "b": 52},
        "hoverlabel": {"align": "left", "font": {"family": FONT}},
        "bargap": 0.3,
    }


def template(name: str) -> go.layout.Template:
    """Return the plotly template "slapkit" or "slapkit dark"."""
    import plotly.graph_objects as go

    return go.layout.Template(layout=_layout(DARK if name.endswith("dark") else LIGHT))


def register() -> None:
    """Make both templates known to plotly by name."""
    import plotly.io as pio

    for name in ("slapkit", "slapkit dark"):
        pio.templates[name] = template(name)


def css_variables(*, widget: bool = False) -> str:
    """Return the theme's colours as CSS variables; widgets (`.slap`) follow JupyterLab's theme where there is one."""
    shared = {"audio": AUDIO, "text-modality": TEXT, "neutral": NEUTRAL, "warning": WARNING}
    light, dark = (
        " ".join(f"--slap-{key}: {value};" for key, value in {**colors, **objectives, **shared}.items())
        for colors, objectives in ((LIGHT, OBJECTIVE), (DARK, DARK_OBJECTIVE))
    )
    if not widget:
        return (
            f":root {{ color-scheme: light dark; --slap-font: {FONT}; {light} }}\n"
            f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        )
    return (
        f".slap {{ color-scheme: light; --slap-font: {FONT}; {light} }}\n"
        '@media (prefers-color-scheme: dark) { :root:not(:has([data-jp-theme-light="true"])) .slap '
        f"{{ color-scheme: dark; {dark} }} }}\n"
        f'[data-jp-theme-light="false"] .slap {{ color-scheme: dark; {dark} }}\n'
    )
