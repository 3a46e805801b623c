"""Leakage: does the test split hold what training has seen?

Two files are the same *file* where their bytes are equal, and the same *sound* where their samples are, decoded to mono
at the file's own rate: a FLAC and the WAV that it came from are one.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slapkit._cores import available_cores
from slapkit.audio import decode
from slapkit.data.dataset import SPLITS, AudioTextDataset
from slapkit.errors import AudioError, DataError

_SHOWN = 3  # examples of each kind in a description


class Member(NamedTuple):
    """A clip and the part (split, or data set) that it is in."""

    part: str
    id: str


@dataclass(frozen=True)
class Leakage:
    """What was found between `parts` (number of clips by name).

    `files` and `sounds` are clips of different parts that are the same; `inside` counts clips that repeat another of
    their own part, `groups` (works, artists) are in more than one part, and `unreadable` are clips whose sound cannot
    be decoded, with the reason.
    """

    parts: dict[str, int]
    files: list[tuple[Member, ...]]
    sounds: list[tuple[Member, ...]]
    inside: dict[str, int]
    groups: list[str]
    unreadable: dict[Member, str]

    @property
    def clean(self) -> bool:
        """Whether no clip of one part was found in another."""
        return not self.files and not self.sounds

    def describe(self) -> str:
        """Return what was found in words, with a few examples of each kind."""
        sizes = ", ".join(f"{name} {count:,}" for name, count in self.parts.items())
        lines = [f"{'nothing' if self.clean else 'the same music'} in more than one of: {sizes}"]
        for found, words in ((self.files, "equal files"), (self.sounds, "equal sounds in other files")):
            if found:
                shown = "; ".join(" = ".join(f"{m.part}: {m.id}" for m in members[:4]) for members in found[:_SHOWN])
                lines.append(f"{len(found):,} x {words}: {shown}{'; ...' if len(found) > _SHOWN else ''}")
        if self.groups:
            names = ", ".join(self.groups[:_SHOWN]) + (", ..." if len(self.groups) > _SHOWN else "")
            lines.append(f"{len(self.groups):,} groups are in several parts: {names}")
        lines += [f"{count:,} clips of {part} repeat another of it" for part, count in self.inside.items() if count]
        if self.unreadable:
            member, reason = next(iter(self.unreadable.items()))
            lines.append(
                f"{len(self.unreadable):,} sounds cannot be decoded and were not compared ({member.id}: {reason})"
            )
        return "\n".join(lines)


def check(parts: AudioTextDataset | Mapping[str, AudioTextDataset], *, progress: bool = True) -> Leakage:
    """Look for the same music in different parts.

    Args:
        parts: a data set, whose splits are compared (clips without one are left out), or several data sets by name,
            such as what a model was trained on and what it is tested on. Splits that nothing is trained on (all but
            train and validation) may share groups: the score corpus has test clips once more with another sound.

    Raises:
        DataError: fewer than two parts.
    """
    held_out = set()
    if isinstance(parts, AudioTextDataset):
        held_out = set(parts.splits) - {"train", "validation"}
        parts = {name: parts.split(name) for name in parts.splits}
    if len(parts) < 2:
        raise DataError(f"{len(parts)} part(s) {list(parts)}: at least two to compare, see {', '.join(SPLITS)}")
    members = [Member(name, clip.id) for name, dataset in parts.items() for clip in dataset]
    paths = [clip.path for dataset in parts.values() for clip in dataset]
    hashes = [digest for dataset in parts.values() for digest in dataset.audio_hashes(progress=progress)]
    keys, unreadable = _sound_keys(members, paths, hashes, progress)
    files = _clusters(members, hashes)
    known = set(files)
    return Leakage(
        parts={name: len(dataset) for name, dataset in parts.items()},
        files=files,
        sounds=[found for found in _clusters(members, keys) if found not in known],
        inside=_repetitions(members, keys),
        groups=_shared_groups(parts, held_out),
        unreadable=unreadable,
    )


def _clusters(members: Sequence[Member], keys: Sequence[str | None]) -> list[tuple[Member, ...]]:
    """Return the members of equal key that are in more than one part."""
    same = defaultdict(list)
    for member, key in zip(members, keys, strict=True):
        if key is not None:
            same[key].append(member)
    return [tuple(found) for found in same.values() if len({member.part for member in found}) > 1]


def _repetitions(members: Sequence[Member], keys: Sequence[str | None]) -> dict[str, int]:
    """Return for each part how many clips have the key of an earlier one."""
    found = Counter((member.part, key) for member, key in zip(members, keys, strict=True) if key is not None)
    counts: Counter[str] = Counter()
    for (part, _), count in found.items():
        counts[part] += count - 1
    return dict(counts)


def _shared_groups(parts: Mapping[str, AudioTextDataset], held_out: set[str]) -> list[str]:
    """Return the groups in more than one part, all of `held_out` being one; a clip by itself is no group."""
    held = defaultdict(set)
    for name, dataset in parts.items():
        for clip in dataset:
            if clip.group != clip.id:  # data sets have files of the same names
                held[clip.group].add(None if name in held_out else name)
    return sorted(group for group, names in held.items() if len(names) > 1)


def _sound_keys(
    members: Sequence[Member], paths: Sequence[Path], hashes: Sequence[str], progress: bool
) -> tuple[list[str | None], dict[Member, str]]:
    """Return a key of each clip's samples, None where it cannot be decoded, and the reasons.

    A sound whose rate and length no other file has is unlike all others: it is not decoded, and its file's hash
    is its key. Equal files are decoded once.
    """
    from tqdm.contrib.concurrent import thread_map

    path_of = dict(zip(hashes, paths, strict=True))
    failed: dict[str, str] = {}
    like = defaultdict(list)  # rate and frames, as claimed or counted -> hashes
    for digest, path in path_of.items():
        try:
            with decode.opened(path) as sound:
                like[sound.rate, sound.frames].append(digest)
        except AudioError as error:
            failed[digest] = str(error)
    key_of = {digests[0]: digests[0] for digests in like.values() if len(digests) == 1}
    wanted = {digest: rate for (rate, _), digests in like.items() if len(digests) > 1 for digest in digests}

    def decoded(digest: str) -> str | AudioError:
        """Return a hash of the samples, mono at their own rate, and of that rate."""
        rate = wanted[digest]
        try:
            wave = decode.read(path_of[digest], sample_rate=rate)
        except AudioError as error:
            return error
        return hashlib.sha256(f"{rate}\n".encode() + np.ascontiguousarray(wave, dtype="<f4").tobytes()).hexdigest()

    shown = {"desc": "Comparing sounds", "unit": "file", "disable": not progress, "delay": 1}
    found = thread_map(decoded, wanted, max_workers=min(4, available_cores()), **shown)  # decoding lets others run
    for digest, sound in zip(wanted, found):
        if isinstance(sound, AudioError):
            failed[digest] = str(sound)
        else:
            key_of[digest] = f"sound {sound}"
    unreadable = {member: failed[digest] for member, digest in zip(members, hashes) if digest in failed}
    return [key_of.get(digest) for digest in hashes], unreadable
