"""The interactive map: hover draws pairs, a click plays, a lasso gives a table; colours and spaces change."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slapkit._io import as_file, size_and_time
from slapkit.audio.decode import MEDIA_TYPES
from slapkit.config import nearest
from slapkit.errors import AudioError, DataError, SlapkitError, short
from slapkit.metrics.embedded import Embedded, Kind, require_same_clips
from slapkit.search.listen import excerpt
from slapkit.search.playlists import save_tracks
from slapkit.viz import theme
from slapkit.viz.figures.map_frame import legend_entries, make_room, scheme
from slapkit.viz.figures.maps import MODALITY, Panel, coloring, joint_map, marker_colors, paths
from slapkit.viz.maps.export import EXCERPT_FORM, save_html
from slapkit.viz.maps.points import color_columns
from slapkit.viz.maps.store import MapStore
from slapkit.viz.text import escaped, facts, plain, rank_words, title_of
from slapkit.viz.widgets.base import Scheme
from slapkit.viz.widgets.player import Player, PlayerItem

WORST = 20  # pairs drawn by the switch
MOST_LINES = 12  # from one clip to its captions
HITS = 3  # clips played after the true one of a caption
MOST_BYTES, MOST_S = 2_000_000, 30.0  # of a file that is played as it is, and of the excerpt of a larger one


class MapView(ipywidgets.VBox):
    """The maps of one model or of several over the same clips, with a player below.

    It begins with predictions "q" or projections "z", in 2 or 3 `dimensions`, coloured by "modality" or a column.
    """

    def __init__(
        self, models: Sequence[Embedded], store: MapStore | None = None, *, kind: Kind = "q", dimensions: int = 2,
        color: str = MODALITY, height: int = 640,
    ) -> None:  # fmt: skip
        require_same_clips(models)
        self.models, self.store = list(models), store or MapStore()
        self.kind, self.dimensions, self.color, self.figure_height = kind, dimensions, color, height
        self.player = Player(empty="Click a point: a clip plays, a caption plays its clip and what is found for it.")
        self.scheme = Scheme()
        self.status = ipywidgets.HTML()
        self._lasso: dict[tuple[int, str], np.ndarray] = {}
        self._make_controls()
        self._box = ipywidgets.VBox()
        self._draw()
        self.scheme.observe(lambda change: self._dress(), "dark")
        self.scheme.on_msg(lambda _, message, __: self._guarded(self._on_click, **message))
        parts = [self.controls, self._box, self.status, self.player, self.scheme]
        # Wider than this the square panels only move apart.
        super().__init__(parts, layout=ipywidgets.Layout(width="100%", max_width="1360px"))

    def _make_controls(self) -> None:
        options = color_columns(self.store.panels(self.models[:1], self.kind, self.dimensions)[0].points)
        if self.color not in options:
            raise DataError(f"there is no column {short(self.color)} to colour by: {nearest(self.color, options)}")
        self.colors = ipywidgets.Dropdown(options=options, value=self.color, description="colour")
        self.kinds = ipywidgets.ToggleButtons(options={"q (predictions)": "q", "z (projections)": "z"}, value=self.kind)
        self.sizes = ipywidgets.ToggleButtons(options={"2-D": 2, "3-D": 3}, value=self.dimensions)
        self.worst = ipywidgets.ToggleButton(value=False, description=f"{WORST} worst pairs")
        self.saver = ipywidgets.Button(description="save selection", tooltip="its clips as a playlist and a table")
        self.saver.on_click(lambda _: self._guarded(self.save_selection))
        self.kinds.tooltips = ["what retrieval uses", "before the predictors, where a model has them"]
        self.kinds.style.button_width, self.sizes.style.button_width = "120px", "48px"
        self.colors.style.description_width = "52px"
        self.colors.layout.width, self.worst.layout.width = "220px", "130px"
        for control, change in (
            (self.colors, self.set_color),
            (self.kinds, lambda kind: self.set_space(kind, self.dimensions)),
            (self.sizes, lambda dimensions: self.set_space(self.kind, dimensions)),
            (self.worst, self.show_worst),
        ):
            control.observe(lambda event, change=change: self._guarded(change, event["new"]), "value")
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="6px 14px")
        self.controls = ipywidgets.HBox([self.colors, self.kinds, self.sizes, self.worst, self.saver], layout=row)

    # What is on show

    def _draw(self) -> None:
        self.panels: list[Panel] = self.store.panels(self.models, self.kind, self.dimensions)
        self.figure = go.FigureWidget(joint_map(self.panels, color=self.color, worst=WORST, height=self.figure_height))
        self.figure._config = self.figure._config | {"displaylogo": False, "scrollZoom": True, "responsive": True}
        self.figure.layout.autosize = True
        for trace in self.figure.data:
            meta = trace.meta or {}
            if meta.get("role") in ("audio", "text"):
                panel, role = meta["panel"], meta["role"]
                trace.on_hover(partial(self._on_hover, role))
                trace.on_unhover(lambda *_: self.hovered(None))
                trace.on_selection(lambda _, points, __, at=(panel, role): self.lassoed(*at, points.point_inds))
                trace.on_deselect(lambda *_: self.deselected())
        self.deselected()
        self._dress()
        self.show_worst(self.worst.value)
        self._box.children = [self.figure]

    def _guarded(self, change, *args: Any, **kwargs: Any) -> None:
        try:
            change(*args, **kwargs)
        except (SlapkitError, OSError) as error:
            self._say(plain(error, 400))

    def _say(self, text: str) -> None:
        self.status.value = f'<span role="status" style="color: var(--jp-content-font-color2)">{escaped(text)}</span>'

    def _trace(self, panel: int, role: str) -> Any:
        return next(t for t in self.figure.data if (t.meta or {}).get("role") == role and t.meta.get("panel") == panel)

    def _dress(self) -> None:
        dark = self.scheme.dark
        # Transparent on a dark page; white until the page has reported that it is dark.
        ground = "rgba(0,0,0,0)" if dark else theme.LIGHT["paper"]
        with self.figure.batch_update():
            self.figure.update_layout(scheme(dark), paper_bgcolor=ground, plot_bgcolor=ground)
            for number, panel in enumerate(self.panels):
                self.figure.layout.annotations[number].font.color = theme.objective_color(panel.objective, dark=dark)
                self._trace(number, "ring").marker.color = self._ink
                self._trace(number, "line").line.color = self._ink

    @property
    def _ink(self) -> str:
        return (theme.DARK if self.scheme.dark else theme.LIGHT)["text"]

    def set_space(self, kind: Kind, dimensions: int) -> None:
        """Show "q" or "z" in 2 or 3 dimensions; a map that is not there yet is fitted."""
        before = self.kind, self.dimensions
        if (kind, dimensions) == before:
            return
        self.kind, self.dimensions = kind, dimensions
        self._say(f"Fitting the maps of {self.kind} in {self.dimensions} dimensions ...")
        self.kinds.disabled = self.sizes.disabled = True
        try:
            self._draw()
        except (SlapkitError, OSError):
            self.kind, self.dimensions = before
            raise
        finally:
            self.kinds.disabled = self.sizes.disabled = False
            self.kinds.value, self.sizes.value = self.kind, self.dimensions

    def set_color(self, column: str) -> None:
        """Colour the points by "modality" or by a column."""
        colors = coloring(self.panels, column)
        self.color = column
        with self.figure.batch_update():
            for number, panel in enumerate(self.panels):
                for role in ("audio", "text"):
                    codes = colors.codes[number][panel.is_text == (role == "text")]
                    self._trace(number, role).marker.update(marker_colors(colors, codes))
            legend = (trace for trace in self.figure.data if (trace.meta or {}).get("role") == "legend")
            for trace, entry in zip(legend, legend_entries(colors)):
                trace.update(name=entry["name"], showlegend=entry["showlegend"], marker_color=entry["marker"]["color"])
            make_room(self.figure, colors)
        self.colors.value = column

    def show_worst(self, on: bool = True) -> None:
        """Draw lines from the captions of the worst rank to their clips, or take them away."""
        with self.figure.batch_update():
            for number in range(len(self.panels)):
                self._trace(number, "worst").visible = bool(on)
        self.worst.value = bool(on)

    # What the mouse does

    def _on_click(self, trace: int, point: int) -> None:
        meta = self.figure.data[trace].meta or {}
        if meta.get("role") in ("audio", "text"):
            self.clicked(meta["panel"], meta["role"], point)

    def _on_hover(self, role: str, trace: Any, points: Any, state: Any) -> None:
        if points.point_inds:
            self.hovered(role, points.point_inds[0])

    def clicked(self, panel: int, role: str, index: int) -> list[PlayerItem]:
        """Play a clip (`role` "audio"), or a caption's clip and then its hits; ring the point in every map."""
        items = items_of(self.models[panel], self.kind, role, index)
        row = index if role == "audio" else len(self.models[0].frame) + index
        with self.figure.batch_update():
            for number, drawn in enumerate(self.panels):
                place = drawn.coordinates[row]
                self._trace(number, "ring").update(dict(zip("xyz", place[:, None].astype(np.float64))))
        self.player.show(items)
        return items

    def hovered(self, role: str | None, index: int = 0) -> None:
        """Draw a caption's line to its clip, or a clip's lines to its captions, in every map; None takes them away."""
        model = self.models[0]
        captions = [] if role is None else [index] if role == "text" else np.flatnonzero(model.clip_of_caption == index)
        rows = [len(model.frame) + int(caption) for caption in captions][:MOST_LINES]
        if self.dimensions == 2:  # shapes are drawn without touching the points
            shapes = [self._shape(number, panel, row) for number, panel in enumerate(self.panels) for row in rows]
            self.figure.layout.shapes = shapes
            return
        with self.figure.batch_update():
            for number, panel in enumerate(self.panels):
                line = paths(panel, rows).T.astype(np.float64)
                self._trace(number, "line").update(dict(zip("xyz", line)))

    def _shape(self, number: int, panel: Panel, row: int) -> dict[str, Any]:
        (x0, y0), (x1, y1) = (panel.coordinates[i].tolist() for i in (row, panel.points["clip"].iloc[row]))
        line = {"color": self._ink, "width": 1.5}
        axes = {f"{axis}ref": f"{axis}{number + 1 if number else ''}" for axis in "xy"}
        return {"type": "line", "x0": x0, "y0": y0, "x1": x1, "y1": y1, "line": line, **axes}

    def lassoed(self, panel: int, role: str, indices: Sequence[int]) -> None:
        self._lasso[panel, role] = np.asarray(indices, dtype=np.int64)
        table = self.selected
        clips = int((table["kind"] == "audio").sum())
        counts = f"{clips:,} clips and {len(table) - clips:,} captions"
        self._say(f"{len(table):,} points within the lasso ({counts}): as a DataFrame, view.selected")

    def deselected(self) -> None:
        """Forget the lasso."""
        self._lasso.clear()
        self._say("Hover: which belong together. Click: play. Lasso (tools above the map): view.selected, a DataFrame.")

    @property
    def selected(self) -> pd.DataFrame:
        """The points within the last lasso: one row each, with `model`, kind, clip, caption, rank and facts."""
        parts = []
        for (number, role), indices in sorted(self._lasso.items()):
            panel = self.panels[number]
            rows = np.flatnonzero(panel.is_text == (role == "text"))[indices]
            parts.append(panel.points.iloc[rows].drop(columns="card").assign(model=panel.name))
        nothing = self.panels[0].points.iloc[:0].drop(columns="card").assign(model="")
        return pd.concat(parts, ignore_index=True) if parts else nothing

    def save_selection(self, name: str = "selection") -> Path:
        """Write the clips of the last lasso, and of its captions, as a playlist and a table in the project's folder;
        raise `LibraryError` where nothing is selected."""
        frame = self.models[0].frame.iloc[self.selected["clip"].unique()]
        titles = [title_of(row) for row in frame.to_dict("records")]
        found = frame.assign(title=titles, file=frame["path"]).drop(columns="path")
        path = save_tracks(found, self.models[0].clips.root, name)
        self._say(f"{len(found):,} clips saved: {os.path.relpath(path)}, and beside it as .csv")
        return path

    def save_html(self, path: str | Path, *, clips: int = 60, **options: Any) -> Path:
        """Write what is on show as one file that opens anywhere; see `slapkit.viz.maps.save_html`."""
        worst = WORST if self.worst.value else 0
        return save_html(self.models, self.panels, path, clips=clips, color=self.color, worst=worst, **options)


def items_of(model: Embedded, kind: Kind, role: str, index: int) -> list[PlayerItem]:
    """Return what a click on a point plays: a clip ("audio"); for a caption ("text") its own clip, then its hits."""
    if role == "audio":
        row = model.frame.iloc[index].to_dict()
        return [_item(row, title_of(row), row["captions"][:3])]
    clip, rank = int(model.clip_of_caption[index]), float(model.text_ranks[kind][index])
    row = model.frame.iloc[clip].to_dict()
    words = [f"“{model.captions[index]}”", f"{model.name}: {rank_words(rank, model.candidates)}"]
    items = [_item(row, f"True clip: {title_of(row)}", words)]
    for place, hit in enumerate(model.hits(index, HITS, kind=kind).tolist(), start=1):
        row = model.frame.iloc[hit].to_dict()
        title = f"{model.name}, hit {place}{' (the true clip)' if hit == clip else ''}: {title_of(row)}"
        items.append(_item(row, title, row["captions"][:1]))
    return items


def _item(row: dict[str, Any], title: str, lines: Sequence[str]) -> PlayerItem:
    return PlayerItem(title, [*filter(None, [" · ".join(facts(row))]), *lines], partial(audio_of, row["path"]))


def audio_of(path: str | Path) -> tuple[bytes, str]:
    """Return what a browser plays of a file, and its media type: a small file as it is, else its first 30 s as Ogg.
    Raise `AudioError` where the file is gone, or cannot be decoded."""
    path = Path(path)
    kind = MEDIA_TYPES.get(path.suffix.lower())
    try:
        if kind and size_and_time(path)[0] <= MOST_BYTES:
            with as_file(path) as file:
                return Path(file).read_bytes(), kind
    except OSError as error:
        raise AudioError(f"{path.name} cannot be read ({error.strerror}): it was moved or deleted") from error
    return excerpt(path, seconds=MOST_S, **EXCERPT_FORM), "audio/ogg"
