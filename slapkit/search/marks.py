"""Marks of a listener, "this track fits that caption too", kept beside a run, and what they do to its measurements.

A caption has one right answer in the data, its own track. Where a listener finds that another track fits it as well,
that track is a right answer too, and the best placed of them counts. Marks never remove a right answer.
"""

import json
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_json, locked
from slapkit.errors import LibraryError
from slapkit.metrics import retrieval_scores, text_to_audio_ranks
from slapkit.metrics.embedded import KINDS, Embedded

FORMAT = 1


class Marks:
    """Pairs of a text and the id of a track that fits it too, in the file `path` (`marks.json` in a run's folder).

    `pairs` has all marks as (text, id of the track), in the order in which they were made. A file that cannot be read
    is a `LibraryError`, and left as it is.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path / "marks.json" if path.is_dir() else path
        self.pairs = self._read()

    def __len__(self) -> int:
        return len(self.pairs)

    def of(self, text: str) -> list[str]:
        """Return the ids of the tracks that are marked for a text."""
        return [track for marked, track in self.pairs if marked == _tidy(text)]

    def add(self, text: str, track: str) -> None:
        """Mark a track for a text, and keep it; no text is a `LibraryError`."""
        if not _tidy(text):
            raise LibraryError("there is no text to mark a track for")
        self._change((_tidy(text), track), kept=True)

    def remove(self, text: str, track: str) -> None:
        """Take a mark back; none is no error."""
        self._change((_tidy(text), track), kept=False)

    def _change(self, pair: tuple[str, str], *, kept: bool) -> None:
        """Add or remove one mark in the file, whose other marks may be those of another process."""
        with locked(self.path.with_name(f".{self.path.name}.lock"), wait="Waiting for the marks", progress=False):
            self.pairs = self._read()
            if kept != (pair in self.pairs):
                self.pairs = [*self.pairs, pair] if kept else [other for other in self.pairs if other != pair]
                marks = [{"text": text, "track": track} for text, track in self.pairs]
                atomic_write_json(self.path, {"format": FORMAT, "marks": marks})

    def _read(self) -> list[tuple[str, str]]:
        try:
            content = json.loads(self.path.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r} where {FORMAT} is read")
            pairs = [(mark["text"], mark["track"]) for mark in content["marks"]]
            if not all(isinstance(value, str) for pair in pairs for value in pair):
                raise ValueError("texts and tracks must be strings")
            return list(dict.fromkeys((_tidy(text), track) for text, track in pairs))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LibraryError(f"{self.path} holds no marks that can be read ({error}): move it away") from error


def _tidy(text: str) -> str:
    return " ".join(text.split())


def scores_with_marks(embedded: Embedded, marks: Marks) -> dict[str, Any]:
    """Return text-to-audio scores of full captions before and after marks: marked clips are right answers too.

    Returns:
        for "q" and "z": "before" and "after", each with R@k in [0, 1] and normalised ranks; and "marks", how many of
        the marks concern captions and clips of this split.
    """
    index = {clip.id: i for i, clip in enumerate(embedded.clips)}
    captions = [_tidy(caption) for caption in embedded.space().captions or ()]
    marked: dict[str, list[int]] = {caption: [] for caption in captions}
    for text, track in marks.pairs:
        if track in index and text in marked:
            marked[text].append(index[track])
    result: dict[str, Any] = {"marks": sum(map(len, marked.values()))}
    also_right = {row: marked[caption] for row, caption in enumerate(captions) if marked[caption]}
    for kind in KINDS:
        space = embedded.space(kind)
        after = text_to_audio_ranks(
            audio=space.audio, text=space.text, clip_of_caption=space.clip_of_caption, captions=space.captions,
            also_right=also_right,
        )  # fmt: skip
        result[kind] = {"before": retrieval_scores(space.text_to_audio), "after": retrieval_scores(after)}
    return result
