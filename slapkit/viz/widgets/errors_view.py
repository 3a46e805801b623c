"""The errors view: captions whose track is ranked worst, what was found instead, and marks of what fits too."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import traitlets

from slapkit.errors import LibraryError
from slapkit.metrics.embedded import Embedded
from slapkit.search import Library
from slapkit.search.marks import Marks, scores_with_marks
from slapkit.viz.text import plain
from slapkit.viz.widgets.base import Answer, LibraryWidget, card, css, esm

HINT = "↑ ↓ choose a caption or a track · space plays · “also relevant” counts as right from then on"


class ErrorsView(LibraryWidget):
    """The `worst` captions of a model, each with its own track and the `k` tracks found first by "q" or "z".

    `library` holds the clips of `split`, which is what `slapkit.metrics.embedded.embed_split` returns. What is marked
    "also relevant" counts as right. `table` has all full captions, worst first: expected `rank` of its track,
    `caption`, `title`, `id`. A clip that is not in the library is a `LibraryError`.
    """

    _esm = esm("picture.js", "card.js", "keys.js", "errors.js")
    _css = css("bench.css", "errors.css")
    options = traitlets.Dict(help="captions listed, and what the page begins with").tag(sync=True)

    def __init__(
        self, library: Library, split: Embedded, marks: Marks, *, embedding: str = "q", worst: int = 50, k: int = 5
    ) -> None:
        self.split, self.captions, self.clip_of_caption = split, split.captions, split.clip_of_caption
        self.embedding = embedding
        self.audio, self.text = split.audio(embedding), split.text(embedding)
        self.ids = [clip.id for clip in split.clips]
        self.libraries, self.marks, self.k = {library.model_name: library}, marks, k
        known = library.tracks.set_index("id", drop=False)
        if missing := [id for id in self.ids if id not in known.index]:
            raise LibraryError(f"{len(missing)} clips are not in the library, {missing[0]!r} for one: update it")
        self._facts = known.loc[self.ids].to_dict("records")
        self.table = self._ranked()
        listed, total = self.table.head(worst), len(self.ids)
        options = {
            "model": library.model_name,
            "hint": HINT,
            "status": self.status(),
            "first": self.handle({"type": "open", "caption": int(listed.index[0])}) if len(listed) else None,
            "captions": [
                {"caption": int(row), "text": plain(caption), "rank": f"own track: {rank:,.0f} of {total:,}"}
                for row, rank, caption in zip(listed.index, listed["rank"], listed["caption"])
            ],
        }
        super().__init__(options=options)  # a page may draw the widget before it hears of what is set later

    def _ranked(self) -> pd.DataFrame:
        own = [self._facts[track] for track in self.clip_of_caption]
        frame = pd.DataFrame({"rank": self.split.text_ranks[self.embedding], "caption": self.captions})
        frame = frame.assign(title=[facts.get("title") for facts in own], id=[facts["id"] for facts in own])
        return frame[self.split.full].sort_values("rank", ascending=False, kind="stable")

    def scores(self) -> dict[str, Any]:
        """Return text-to-audio retrieval "before" and "after" marks, for "q" and "z", and the number of "marks"."""
        return scores_with_marks(self.split, self.marks)

    def answers(self) -> Mapping[str, Answer]:
        return {**super().answers(), "open": self._open, "mark": self._mark}

    def _row(self, message: Mapping[str, Any]) -> int:
        row = message.get("caption")
        if type(row) is not int or not 0 <= row < len(self.captions):
            raise LibraryError(f"no caption {plain(row, 40)} here: there are {len(self.captions):,}")
        return row

    def _open(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        row = self._row(message)
        own = int(self.clip_of_caption[row])
        scores = self.text[row] @ self.audio.T
        first = np.argsort(-scores, kind="stable")[: self.k]
        marked = self.marks.of(self.captions[row])
        others = self._cards([int(track) for track in first if track != own], scores, marked)
        return {"type": "opened", "caption": row, "own": self._cards([own], scores, marked), "found": others}

    def _cards(self, tracks: Sequence[int], scores: np.ndarray, marked: Sequence[str]) -> list[dict[str, Any]]:
        rows = []
        for track in tracks:
            above, level = (scores > scores[track]).sum(), (scores >= scores[track]).mean()
            rows.append({**self._facts[track], "rank": above + 1, "score_percentile": level})
        return [card(row, marked) for row in rows]

    def _mark(self, message: dict[str, Any], _: Sequence[bytes]) -> dict[str, Any]:
        return self.set_mark(self.captions[self._row(message)], message) | {"status": self.status()}

    def status(self) -> str:
        """Return recall before and after the marks in one line."""
        found = self.scores()
        marked, before, after = found["marks"], found[self.embedding]["before"], found[self.embedding]["after"]
        words = ", ".join(
            f"{name} {100 * before[name]:.1f} %" + (f" → {100 * after[name]:.1f} %" if marked else "")
            for name in ("R@1", "R@5", "R@10")
        )
        count = f"{marked} {'track' if marked == 1 else 'tracks'} marked also relevant" if marked else "nothing marked"
        return f"text to audio: {words} · {count}"
