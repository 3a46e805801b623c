"""A data set in memory: its clips, what was wrong with its table, and a fingerprint of its content."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slapkit._cores import available_cores
from slapkit._io import sha256_file, size_and_time
from slapkit.config import nearest
from slapkit.data import frames
from slapkit.data.frames import plain
from slapkit.errors import DataError, short

if TYPE_CHECKING:
    import datasets
    import pandas as pd

MACHINES = ("musicnn",)  # in the column `source`: what wrote captions that are no person's
DATA_SET = "data_set"  # the fact that names where a clip of joined data sets is from
SPLITS = ("train", "validation", "test")  # in this order; other names follow
WORD = re.compile(r"[^\W\d_]{3,}")  # of captions and queries, in lower case


@dataclass(frozen=True)
class Clip:
    """One sound and what is known about it."""

    id: str  # its name relative to the data set's folder, with forward slashes
    path: Path
    captions: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    split: str | None = None
    group: str = ""  # what must not be divided between splits: the work, or the clip itself


@dataclass(frozen=True)
class Problem:
    """Something in a table, or a sound, that was skipped or repaired.

    `row` is the line of the table, its first line being 1; 0 where no line is concerned.
    """

    row: int
    value: str
    reason: str


def describe(problems: Sequence[Problem]) -> str:
    """Return problems as text, one line per reason with its count and the first three rows."""
    lines = []
    for reason, count in Counter(p.reason for p in problems).most_common():
        shown = [p for p in problems if p.reason == reason][:3]
        where = "; ".join(f"line {p.row}: {short(p.value)}" if p.row else short(p.value) for p in shown)
        lines.append(f"{count:,} x {reason} ({where}{'; ...' if count > len(shown) else ''})")
    return "\n".join(lines)


class ContentHashes:
    """SHA-256 of the files of a data set, shared by its splits and subsets; each is read once in a session."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, str]] = {}  # path -> size, mtime in ns, hash

    def of(self, paths: Sequence[Path], *, progress: bool = True) -> list[str]:
        """Return the hash of each file, in hexadecimal.

        A file is read again when its size or time changed since this object last read it. A `DataError` names one that
        vanished or cannot be read any more.
        """
        from tqdm.contrib.concurrent import thread_map

        stats = {str(path): _of_file(size_and_time, path) for path in paths}
        stale = [path for path, stat in stats.items() if self._known.get(path, ())[:2] != stat]
        shown = {"desc": "Reading audio files", "unit": "file", "disable": not progress, "delay": 1}
        # Hashing lets other threads run.
        digests = thread_map(partial(_of_file, sha256_file), stale, max_workers=min(4, available_cores()), **shown)
        self._known |= {path: (*stats[path], digest) for path, digest in zip(stale, digests)}
        return [self._known[str(path)][2] for path in paths]


def _of_file(function: Callable[[str | Path], Any], path: str | Path) -> Any:
    try:
        return function(path)
    except OSError as error:
        why = f"({error.strerror}): it changed after the table; check the file and its permissions"
        raise DataError(f"{path} cannot be read any more {why}") from error


class AudioTextDataset:
    """Clips with captions, in the order of their names; never changed once made.

    Attributes:
        root: folder that holds the sounds.
        name: what the data set is called.
        clips: list of `Clip`.
        problems: list of `Problem` met while reading.
        notes: sentences about how the table was read.
        unnamed: ids of the sound files in the folder that no row of its table names.
        joined: names of the data sets that it was joined of, each with its share of training or None.
    """

    def __init__(
        self, root: str | Path, clips: Iterable[Clip], problems: Iterable[Problem] = (), *, name: str | None = None,
        notes: Iterable[str] = (), hashes: ContentHashes | None = None,
        joined: Mapping[str, float | None] | None = None, unnamed: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.root = Path(root)
        self.clips = sorted(clips, key=lambda clip: clip.id)
        self.problems = list(problems)
        self.notes = list(notes)
        self.unnamed = list(unnamed)
        self.name = name or self.root.resolve().name
        self.joined = dict(joined or {})
        self._hashes = hashes or ContentHashes()
        self._fingerprint: tuple[list[str], str] | None = None  # with the hashes of the files that it was made of
        repeated = [id for id, count in Counter(clip.id for clip in self.clips).items() if count > 1]
        if repeated:
            raise DataError(f"{self.name} holds {len(repeated)} ids twice, {repeated[0]!r} for one: they must differ")

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __getitem__(self, index: int) -> Clip:
        return self.clips[index]

    def __repr__(self) -> str:
        return f"<AudioTextDataset {self.name}: {len(self)} clips, splits {self.splits}>"

    @property
    def splits(self) -> dict[str, int]:
        """Number of clips in each split, train, validation and test first; clips without a split do not count."""
        counts = Counter(clip.split for clip in self.clips if clip.split is not None)
        names = [name for name in SPLITS if name in counts] + sorted(set(counts) - set(SPLITS))
        return {name: counts[name] for name in names}

    def by_split(self) -> dict[str, list[Clip]]:
        """Return the clips of each split, in the order of `splits`; those without one are in "all"."""
        names = dict.fromkeys((*self.splits, "all"))
        found = {name: [clip for clip in self.clips if (clip.split or "all") == name] for name in names}
        return {name: clips for name, clips in found.items() if clips}

    def split(self, name: str) -> AudioTextDataset:
        """Return the data set of the clips of one split; raise `DataError` where there is no such split."""
        self.need(name)
        return self.subset(i for i, clip in enumerate(self.clips) if clip.split == name)

    def need(self, *names: str) -> None:
        """Raise `DataError` unless there are splits of these names: before work that ends with them."""
        for name in names:
            if name not in self.splits:
                hint = (
                    nearest(name, self.splits) if self.splits else "its table gives none, see slapkit.data.make_splits"
                )
                raise DataError(f"{self.name} has no split {short(name)}: {hint}")

    def subset(self, indices: Iterable[int]) -> AudioTextDataset:
        """Return the data set of the clips at `indices`; what is known about their content goes along."""
        return self.with_clips([self.clips[i] for i in indices])

    def with_clips(self, clips: Iterable[Clip]) -> AudioTextDataset:
        """Return a data set of other clips (a part of them, or with other splits) from the same folder."""
        known = {"name": self.name, "notes": self.notes, "hashes": self._hashes, "joined": self.joined}
        return AudioTextDataset(self.root, clips, self.problems, unnamed=self.unnamed, **known)

    @property
    def parts(self) -> dict[str, AudioTextDataset]:
        """The data sets that were joined, by name, and without shares; the data set itself where none were."""
        given = {"notes": self.notes, "hashes": self._hashes}
        parts = {
            name: AudioTextDataset(self.root, (c for c in self if c.facts[DATA_SET] == name), name=name, **given)
            for name in self.joined
        }
        return parts or {self.name: self}

    @property
    def shares(self) -> dict[str, float]:
        """The shares of joined data sets in training, which add up to 1; empty where each clip counts alike."""
        return {name: share for name, share in self.joined.items() if share is not None}

    def audio_hashes(self, *, progress: bool = True) -> list[str]:
        """Return the SHA-256 of each clip's file, in the order of `clips`; each file is read once. Raise `DataError`
        where one vanished or cannot be read any more."""
        return self._hashes.of([clip.path for clip in self.clips], progress=progress)

    def audio_files(self, *, progress: bool = True) -> dict[str, tuple[Path, str]]:
        """Return path and SHA-256 of each clip's file by the clip's id; see `audio_hashes`."""
        hashes = self.audio_hashes(progress=progress)
        return {clip.id: (clip.path, key) for clip, key in zip(self.clips, hashes, strict=True)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: ids, audio files, captions, groups, splits and facts; and of shares.

        Neither the folder's place nor the order of the table's rows and columns matters. Facts without a value do not
        count, nor does the fact `group`, which the group holds already.
        """
        hashes = self.audio_hashes()
        if self._fingerprint is None or self._fingerprint[0] != hashes:
            self._fingerprint = hashes, self._fingerprint_of(hashes)
        return self._fingerprint[1]

    def _fingerprint_of(self, hashes: Sequence[str]) -> str:
        digest = hashlib.sha256(b"slapkit data set 2\n")
        for clip, audio in zip(self.clips, hashes, strict=True):
            facts = {key: value for key, value in plain(clip.facts).items() if value is not None and key != "group"}
            line = json.dumps([clip.id, audio, clip.captions, clip.group, clip.split, facts], sort_keys=True)
            digest.update(line.encode() + b"\n")
        if self.shares:
            digest.update(json.dumps(self.shares, sort_keys=True).encode())
        return digest.hexdigest()

    @property
    def vocabulary(self) -> frozenset[str]:
        """Words of all captions, in lower case, of three letters and more."""
        return frozenset(w for clip in self.clips for text in clip.captions for w in WORD.findall(text.lower()))

    def captions_flat(self) -> tuple[list[str], np.ndarray]:
        """Return all captions, and for each the index of its clip, int64 `[captions]`."""
        captions = [caption for clip in self.clips for caption in clip.captions]
        owners = np.repeat(np.arange(len(self), dtype=np.int64), [len(clip.captions) for clip in self.clips])
        return captions, owners

    def caption_column(self, name: str) -> list[str]:
        """Return what a column such as `caption_registers` says of each caption; "" where it does not fit a clip's."""
        values: list[str] = []
        for clip in self.clips:
            found = clip.facts.get(name)
            fits = isinstance(found, list) and len(found) == len(clip.captions)
            values += [str(value) for value in found] if fits else [""] * len(clip.captions)
        return values

    def full_captions(self) -> np.ndarray:
        """Return which captions describe their clip, bool `[captions]`: all but those of the register "partial", which
        name a fact or two; a clip with no others keeps them."""
        owners = self.captions_flat()[1]
        full = np.array([register != "partial" for register in self.caption_column("caption_registers")], dtype=bool)
        return full | ~np.isin(owners, owners[full])

    def described(self) -> AudioTextDataset:
        """Return the data set with the full captions of its clips alone; see `full_captions`."""
        full = iter(self.full_captions())
        return self.with_clips(
            [replace(clip, captions=tuple(text for text in clip.captions if next(full))) for clip in self.clips]
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with one row per clip: id, path, split, group, captions and its facts."""
        return frames.to_pandas(self.clips)

    def to_datasets(self) -> datasets.DatasetDict:
        """Return the splits as `datasets` has them: the sound's file in `audio`, `captions`, `group` and the facts.

        Clips without a split are in one called "all". Nothing is copied; `save_to_disk` and `push_to_hub` write the
        bytes of the files, and `slapkit.data.read` gives the same clips again.

        Raises:
            MissingExtraError: `datasets` (the extra `hf`) is not installed.
            DataError: a fact that no column holds, such as texts and numbers by turns.
        """
        return frames.to_datasets(self.by_split())

    @property
    def caption_note(self) -> str:
        """A sentence on captions that a model wrote, by the fact `source`; empty where people wrote all."""
        writers = Counter(source for clip in self.clips if (source := clip.facts.get("source")) in MACHINES)
        if not writers:
            return ""
        return f"a model ({', '.join(writers)}) wrote the captions of {writers.total():,} of {len(self):,} clips"

    def summary(self) -> str:
        """Return in words what the data set holds and what was skipped."""
        captions = sum(len(clip.captions) for clip in self.clips)
        groups = len({clip.group for clip in self.clips})
        parts = [f"{name} {count:,}" for name, count in self.splits.items()]
        rest = len(self) - sum(self.splits.values())
        parts += [f"in none {rest:,} (not used for training or testing)"] if parts and rest else []
        splits = ", ".join(parts) or "none given"
        lines = [f"{self.name}: {len(self):,} clips, {captions:,} captions, {groups:,} groups; splits: {splits}"]
        if self.shares:
            shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.shares.items())
            lines.append(f"shares of every training batch: {shares}")
        lines += [*self.notes, *filter(None, [self.caption_note])]
        if self.unnamed:
            files = ", ".join(map(short, self.unnamed[:3])) + (", ..." if len(self.unnamed) > 3 else "")
            lines.append(f"{len(self.unnamed):,} sound files of the folder are in no row, and left out: {files}")
        if self.problems:
            lines.append(f"{len(self.problems):,} problems in the table:\n{describe(self.problems)}")
        return "\n".join(lines)

    def relabel(self, splits: dict[str, str | None]) -> AudioTextDataset:
        """Return the data set with the split of each clip replaced by `splits[clip.id]`."""
        return self.with_clips([replace(clip, split=splits[clip.id]) for clip in self.clips])
