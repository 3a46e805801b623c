"""Clips with known embeddings, maps without UMAP, and a library without a model or files."""

import io
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import soundfile

from slapkit.data import AudioTextDataset
from slapkit.data.dataset import Clip
from slapkit.errors import LibraryError
from slapkit.metrics.embedded import Embedded, make
from slapkit.viz.figures.maps import Panel
from slapkit.viz.maps.points import panel

STYLES = ("jig", "hymn", "waltz")
INSTRUMENTS = ("flute", "violin", "piano")


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


def make_embedded(
    dataset: AudioTextDataset, name: str = "SLAP", gap: float = 0.0, seed: int = 0, noise: float = 0.3
) -> Embedded:
    """Embed by chance: captions near their clips, moved by `gap` along the first axis; q and z differ."""
    rng = np.random.default_rng(seed)
    _, owner = dataset.captions_flat()
    arrays = {}
    for kind in "qz":
        audio = rng.normal(size=(len(dataset), 8))
        text = audio[owner] + noise * rng.normal(size=(len(owner), 8))
        text[:, 0] += gap
        for what, rows in (("audio", audio), ("text", text), ("last", audio + 0.1 * rng.normal(size=audio.shape))):
            arrays[f"{kind}_{what}"] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        arrays[f"{kind}_first"] = arrays[f"{kind}_audio"]
    return make(dataset, arrays, name=name, objective=name.lower())


def make_panel(model: Embedded, dimensions: int = 2, kind: str = "q") -> Panel:
    """Put the first dimensions of the embedding on a map."""
    return panel(model, model.points(kind)[:, :dimensions], kind)


class FakeStore:
    """Maps without UMAP: the first dimensions of the vectors."""

    def panels(self, models, kind="q", dimensions=2):
        return [make_panel(model, dimensions, kind) for model in models]


def tone(seconds: float = 3.0) -> bytes:
    """Return a WAV file of a soft tone."""
    data, time = io.BytesIO(), np.arange(round(8000 * seconds)) / 8000
    soundfile.write(data, 0.1 * np.sin(2 * np.pi * 440 * time), 8000, format="WAV")
    return data.getvalue()


class FakeLibrary:
    """`size` tracks; the score of a track for a query is a hash of both, so each query has one known order."""

    note = ""

    def __init__(self, size: int = 30, model_name: str = "SLAP", *, long: bool = False) -> None:
        self.name, self.model_name, self.model, self.long = "fake", model_name, None, long
        self.deleted: set[str] = set()
        self.folder = Path("nowhere")
        rows = []
        for i in range(size):
            name, style = f"audio/{i:03d}.ogg", STYLES[i % 3]
            row = {"id": name, "title": f"Tune {i}", "captions": [f"a {style} of number {i}", f"number {i} again"]}
            row |= {"file": name, "style": style, "instruments": [INSTRUMENTS[i % 3], INSTRUMENTS[(i + 1) % 3]]}
            rows.append(row | {"tempo_class": ("slow", "fast")[i % 2], "duration_s": 185.0 if long else 10.0})
        self.tracks = pd.DataFrame(rows)

    def __len__(self) -> int:
        return len(self.tracks)

    def warm(self) -> None:
        """Nothing is to be loaded."""

    def like(self, id: str) -> SimpleNamespace:
        self._known(id)
        return SimpleNamespace(id=id)

    def search(self, query, *, k=10, where=None, plus=(), minus=()) -> pd.DataFrame:
        if isinstance(query, str) and query.lstrip().startswith("- "):
            raise LibraryError("the query only takes away: it needs something to subtract from")
        asked = repr((query, plus, minus, self.model_name))
        scores = np.array([zlib.crc32(f"{asked}{id}".encode()) / 2**32 for id in self.tracks["id"]])
        table = self.tracks.assign(score_percentile=[float((scores >= s).mean()) for s in scores])
        table["window_start_s"], table["window_s"] = (40.0, 10.0) if self.long else (0.0, 10.0)
        for column, value in (where or {}).items():
            if column not in table:
                raise LibraryError(f"the library has no column {column!r}: did you mean 'style'?")
            table = table[[value in cell if isinstance(cell, list) else value == cell for cell in table[column]]]
        table = table.sort_values(["score_percentile", "id"]).head(k).reset_index(drop=True)
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        return table

    def facets(self, max_values: int = 30) -> dict:
        columns = ("style", "instruments", "tempo_class")
        return {c: [(v, int(n)) for v, n in self.tracks[c].explode().value_counts().items()] for c in columns}

    def path(self, id: str) -> str:
        self._known(id)
        if id in self.deleted:
            raise LibraryError(f"{id} was deleted since the library was built: update it")
        return id

    def span(self, id: str, start_s=None, seconds=None) -> tuple[float, float]:
        return (30.0, 30.0) if self.long else (0.0, 10.0)

    def sound(self, id: str, start_s=None, seconds=None) -> tuple[bytes, str]:
        return self.path(id).encode() * 3, "audio/ogg"

    def log_mel(self, id: str, start_s=None) -> SimpleNamespace:
        self.path(id)
        start, length = self.span(id)
        return SimpleNamespace(pixels=np.zeros((64, 160), dtype=np.uint8), start_s=start, duration_s=length)

    def warn(self, query) -> str | None:
        words = len(query.split())
        return f"the query has {words} words: the first 60 are read" if words > 60 else None

    def _known(self, id: str) -> None:
        if id not in set(self.tracks["id"]):
            raise LibraryError(f"the library has no track {id!r}")


def split_of(library: FakeLibrary) -> Embedded:
    """Embed a library's tracks and captions by chance, far from each other."""
    rows = zip(library.tracks["id"], library.tracks["captions"])
    clips = [Clip(id, Path(id), tuple(captions)) for id, captions in rows]
    return make_embedded(AudioTextDataset("nowhere", clips), noise=9.0)
