"""What a published tagger hears in a folder of music: words for each track, with their percentile in the folder.

musicnn (`slapkit.models.encoders.musicnn`) gives the probabilities of a hundred tags, of which `slapkit.hub.words`
makes what is said; `slapkit.hub.heard` keeps the table of a folder.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from slapkit._io import atomic_write_json_lines, atomic_write_text, printable, project_root, sha256_file
from slapkit._rows import Found, RowCache
from slapkit.audio import media
from slapkit.audio.features import Extractor
from slapkit.audio.frontend import FRONTENDS
from slapkit.audio.windows import tiled_starts
from slapkit.data.scan import HEARD, Failure, Source, music_folder, sound_files
from slapkit.errors import LibraryError
from slapkit.hub.heard import read_heard, table_path
from slapkit.hub.measured import KINDS, measurements
from slapkit.hub.words import NO_VOICE, Words, describe
from slapkit.models.encoders.musicnn import TAGS, MusicNN
from slapkit.models.encoders.text import tensor_digest

FEW = 50  # tracks: among fewer, percentiles mean little
_WINDOW_S, _MOST = 3.0, 24  # s, as musicnn was trained; windows of a track that are listened to, evenly spread
_FORMAT = 1


class Track(NamedTuple):
    """A file that was listened to: its SHA-256, that of its sound, and what is said of it."""

    source: Source
    sha: str
    sound: str
    words: Words


@dataclass(frozen=True)
class Heard:
    """What was heard in a folder: its tracks, and the files that cannot be used."""

    folder: Path
    tracks: list[Track]
    failures: list[Failure]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table: file, sha, sound, facts (such as "heard tempo": ["slow"]), percentiles by word;
        of files that cannot be used, file and failure."""
        rows = [
            {"file": source.file, "sha": sha, "sound": sound, "facts": facts_of(words)}
            | {"percentiles": words.percentiles}
            for source, sha, sound, words in self.tracks
        ]
        return rows + [{"file": failure.file, "failure": failure.reason} for failure in self.failures]

    def text_lines(self) -> Iterator[str]:
        """Yield the table as text: a line for each track, percentiles in percent behind the words."""
        for source, _, _, words in self.tracks:
            yield f"{printable(source.file)}: {'; '.join(_said(kind, words) for kind in words.facts)}"

    def write_csv(self, path: str | Path) -> Path:
        """Write a row for each track: file, sha, and a column for each kind of words."""
        import pandas as pd

        rows = [
            {"file": source.file, "sha": sha} | {HEARD + kind: _said(kind, words) for kind in words.facts}
            for source, sha, _, words in self.tracks
        ]
        return atomic_write_text(path, pd.DataFrame(rows).to_csv(index=False))

    def note(self) -> str:
        """Return what percentiles mean here."""
        said = f"percentiles are among the {len(self.tracks):,} tracks of this folder"
        return said + (f", so few that they mean little (under {FEW})" if len(self.tracks) < FEW else "")


def _said(kind: str, words: Words) -> str:
    """Return the words of a kind with their percentiles, such as "piano 97, strings 92"."""
    shown = ((word, words.percentiles.get(word)) for word in words.facts[kind])
    return ", ".join(
        f"{f'no {kind}' if word == NO_VOICE else word}{'' if share is None else f' {100 * share:.0f}'}"
        for word, share in shown
    )


def facts_of(words: Words) -> dict[str, list[str]]:
    """Return words as facts of a track, whose names say that they were heard."""
    return {HEARD + kind: list(found) for kind, found in words.facts.items()}


def hear(
    folder: str | Path, *, measure: bool = False, cache_dir: str | Path | None = None, progress: bool = True
) -> Heard:
    """Listen to all sound files of a folder, and keep what was heard as the folder's table.

    Args:
        folder: searched in any depth; a table in it is not looked at.
        measure: measure "bpm", "key" and "loudness dB" too (`slapkit.hub.measured`), some seconds a track. What the
            table knows of them already stays in it.
        cache_dir: keeps what was computed by the content of files; default `data/cache` in the project.

    Raises:
        LibraryError: the folder is missing, or holds no sound file that can be used.
        ConfigError: musicnn's weights are missing.
        MissingExtraError: `measure` without librosa.
        StorageError: the disk is full; what was finished is kept.
    """
    folder = music_folder(folder)
    found, failures = sound_files(folder)
    known: list[tuple[Source, str, str]] = []
    for source in tqdm(found, "Reading audio files", unit="file", disable=not progress, delay=1):
        try:
            known.append((source, sha256_file(source.path), media.sound_digest(source.path)))
        except OSError as error:
            failures.append(Failure(source.file, f"the file cannot be read: {error.strerror}"))
    cache_dir = project_root() / "data" / "cache" if cache_dir is None else Path(cache_dir)
    tags = probabilities({sha: source.path for source, sha, _ in known}, cache_dir, progress=progress)
    failures += [Failure(source.file, tags[sha]) for source, sha, _ in known if isinstance(tags[sha], str)]
    failures.sort(key=lambda failure: failure.file)
    used = sorted((one for one in known if not isinstance(tags[one[1]], str)), key=lambda one: one[0].id)
    if not used:
        why = "; ".join(f"{failure.file}: {failure.reason}" for failure in failures[:3])
        raise LibraryError(f"no sound file in {folder} can be used{f' ({why})' if why else ''}")
    words = describe(np.stack([tags[sha] for _, sha, _ in used]))
    if measure:
        measured = measurements({sha: source.path for source, sha, _ in used}, cache_dir, progress=progress)
        words = [one._replace(facts=one.facts | measured[sha]) for (_, sha, _), one in zip(used, words)]
    heard = Heard(folder, [Track(*one, said) for one, said in zip(used, words)], failures)
    rows, before = heard.rows(), read_heard(table_path(folder))
    for row in rows[: len(used)]:  # what was measured of a sound stays true
        known = before.get(row["sha"], {})
        row["facts"] |= {name: known[name] for kind in KINDS if not measure and (name := HEARD + kind) in known}
    atomic_write_json_lines(table_path(folder), rows)
    return heard


def probabilities(sounds: Mapping[str, Path], cache_dir: Path, *, progress: bool = True) -> dict[str, np.ndarray | str]:
    """Return musicnn's probabilities of its tags, float32 `[100]`, of files given by their SHA-256, or why there are
    none; computed where `cache_dir` lacks them. Raise `ConfigError` where musicnn's weights are missing."""
    encoder, frontend = MusicNN(), FRONTENDS["musicnn"]
    settings = json.dumps([_FORMAT, _WINDOW_S, _MOST, frontend.to_dict()], sort_keys=True)
    key = tensor_digest(encoder.state_dict(), before=settings)
    cache = RowCache(Path(cache_dir) / f"audio-{key}.tags", sum(map(len, TAGS.values())), "<f4")

    def compute(missing: list[str]) -> Found:
        with Extractor(frontend, expected=len(missing)) as extractor:
            with contextlib.closing(extractor.map(str(sounds[key]) for key in missing)) as found:
                for key, features in zip(missing, found):
                    yield key, features if isinstance(features, str) else _tags(encoder, features)

    cache.fill(sounds, compute, what="Listening", unit="file", progress=progress)
    return {key: found if isinstance(found := cache.get(key), str) else found[0] for key in sounds}


@torch.no_grad()
def _tags(encoder: MusicNN, features: np.ndarray) -> np.ndarray:
    """Return the mean probabilities over windows of features `[frames, 96]`, `[1, 100]`."""
    window = min(FRONTENDS["musicnn"].frames(_WINDOW_S), len(features))
    starts = tiled_starts(len(features), window)
    starts = starts[np.unique(np.linspace(0, len(starts) - 1, _MOST).round().astype(int))]
    windows = torch.from_numpy(np.stack([features[start : start + window] for start in starts]))
    found = encoder.tags(encoder.raw(windows))
    return torch.cat([found[name] for name in TAGS], 1).mean(0, keepdim=True).numpy()
