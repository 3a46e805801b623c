"""Clips with captions and embeddings whose gap is known, made on the spot; sounds are real files of a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from slapkit.data import AudioTextDataset
from slapkit.data.dataset import Clip
from slapkit.metrics.embedded import Embedded, make
from slapkit.viz.figures.maps import Panel
from slapkit.viz.maps.points import panel

STYLES = ("jig", "hymn", "waltz")


def make_clips(folder: Path | None, clips: int = 12, per_clip: int = 2, texts: list[str] | None = None):
    """Return a data set of `clips` clips with `per_clip` captions; sounds are written where a folder is given."""
    rows, time = [], np.arange(8000) / 8000
    for i in range(clips):
        path = (folder or Path("nowhere")) / f"clip-{i:02d}.wav"
        if folder:
            soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 40 * i) * time), 8000)
        said = tuple(texts[i] if texts else f"caption {j} of clip {i}" for j in range(per_clip))
        facts = {"style": STYLES[i % 3], "instruments": [f"i{i % 5}", "x"], "tempo_bpm": 60 + i, "title": f"Tune {i}"}
        if texts:
            facts |= {"title": texts[i], "style": texts[i], "instruments": [texts[i]]}
        rows.append(Clip(f"clip-{i:02d}.wav", path, said, facts, "test", f"g{i}"))
    return AudioTextDataset(folder or "nowhere", rows, name="fakes")


def make_embedded(dataset: AudioTextDataset, name: str = "SLAP", gap: float = 0.0, seed: int = 0) -> Embedded:
    """Embed by chance: captions near their clips, moved by `gap` along the first axis; q and z differ."""
    rng = np.random.default_rng(seed)
    _, owner = dataset.captions_flat()
    arrays = {}
    for kind in "qz":
        audio = rng.normal(size=(len(dataset), 8))
        text = audio[owner] + 0.3 * rng.normal(size=(len(owner), 8))
        text[:, 0] += gap
        for what, rows in (("audio", audio), ("text", text), ("last", audio + 0.1 * rng.normal(size=audio.shape))):
            arrays[f"{kind}_{what}"] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        arrays[f"{kind}_first"] = arrays[f"{kind}_audio"]
    return make(dataset, arrays, name=name, objective=name.lower())


def make_panel(model: Embedded, dimensions: int = 2, kind: str = "q") -> Panel:
    """Put the first dimensions of the embedding on a map."""
    return panel(model, model.points(kind)[:, :dimensions], kind)


class FakeStore:
    """Maps without UMAP: the first dimensions of the vectors; counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []

    def panels(self, models, kind="q", dimensions=2):
        self.asked += [(model.name, kind, dimensions) for model in models]
        return [make_panel(model, dimensions, kind) for model in models]
