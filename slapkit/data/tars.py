"""WebDataset: tars that hold `key.flac` (or another sound) beside `key.json` or `key.txt`.

A sound stays in its tar and is named `shard.tar/key.flac`; `slapkit._io.as_file` finds its place there. So streaming
training draws any clip at any step, and its order is the function of seed and step that it is for files.
"""

import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from slapkit._io import tar_members
from slapkit.audio.decode import AUDIO_SUFFIXES
from slapkit.data.cells import FINITE
from slapkit.data.dataset import Problem
from slapkit.data.home import LINK_LEAVES, MISSING, Home, is_control
from slapkit.data.tables import CAPTION_COLUMNS
from slapkit.errors import short

_MOST_WORDS = 2**24  # bytes of one member with captions and facts
Sample = tuple[str, Path, Any, dict[str, Any]]  # id, path, captions, facts


def kind_of(folder: Path) -> str | None:
    """Return the name of a tar in a folder, in any depth, that holds a sound beside words; or None."""
    for shown, tar in _tars(folder, []) if folder.is_dir() else ():
        kinds = [parts.keys() for parts in _samples(tar, shown, []).values()]
        if any(k & {".json", ".txt"} and k & {*AUDIO_SUFFIXES} for k in kinds):
            return shown
    return None


def samples(folder: Path, caption: str | None, problems: list[Problem]) -> Iterator[Sample]:
    """Yield the samples of the uncompressed tars in a folder, in any depth; what cannot be used is listed.

    Captions are `captions`, `caption` or `text` (or the key `caption`) of the JSON, or else the text file; all else in
    the JSON is facts.
    """
    for shown, tar in _tars(folder, problems):
        found = _samples(tar, shown, problems)
        members = tar_members(tar)
        with open(tar, "rb") as file:
            for key, parts in found.items():
                words = {kind: _words(file, members[m]) for kind, m in parts.items() if kind in (".json", ".txt")}
                yield from filter(None, [_sample(f"{shown}/{key}", tar, parts, words, caption, problems)])


def _tars(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
    """Yield the name of each tar in a folder, relative to it, and its path; list those that cannot be read."""
    home = Home(folder)
    for tar in sorted(folder.rglob("*.tar")):
        shown = tar.relative_to(folder).as_posix()
        reason = None if os.access(tar, os.R_OK) else "the tar cannot be read: check its permissions"
        reason = reason if tar.exists() else MISSING
        reason = reason if home.holds(tar) else LINK_LEAVES
        if reason is not None:
            problems.append(Problem(0, shown, reason))
        elif tar.is_file():
            yield shown, tar


def _samples(tar: Path, shown: str, problems: list[Problem]) -> dict[str, dict[str, str]]:
    """Return the members of each sample by suffix, and list what is no part of one."""
    members, found = tar_members(tar), defaultdict(dict)
    for member in filter(None, members):
        path = PurePosixPath(member)
        stem, _, kind = path.name.partition(".")
        if any(map(is_control, member)):
            problems.append(Problem(0, f"{shown}: {short(member)}", "its name holds control characters"))
        elif stem and kind:
            parts = found[(path.parent / stem).as_posix()]
            if parts.setdefault("." + kind.lower(), member) != member:
                problems.append(Problem(0, f"{shown}/{member}", f"the sample has {parts['.' + kind.lower()]} already"))
        else:
            problems.append(Problem(0, f"{shown}/{member}", "its name is no `key.suffix`"))
    (end, left), size = members[""], tar.stat().st_size
    if left:
        reason = f"{left:,} members were left out: repeated, or neither plain files nor folders"
        problems.append(Problem(0, shown, reason))
    with open(tar, "rb") as file:
        file.seek(end)
        if file.read(512).strip(b"\0") or end >= size:
            place = f"after {end:,} of {size:,} bytes: what follows is left out"
            problems.append(Problem(0, shown, f"the tar is damaged, compressed or cut off {place}"))
    return found


def _words(file: io.BufferedReader, place: tuple[int, int]) -> bytes:
    file.seek(place[0])
    return file.read(min(place[1], _MOST_WORDS))


def _sample(
    id: str, tar: Path, parts: Mapping[str, str], words: dict[str, bytes], caption: str | None, problems: list[Problem]
) -> Sample | None:
    """Return one sample, or list why there is none."""

    def tell(reason: str) -> None:
        problems.append(Problem(0, id, reason))

    sounds = [member for kind, member in parts.items() if kind in AUDIO_SUFFIXES]
    if not sounds:
        return tell(f"the sample holds no sound (found: {', '.join(parts)})")
    if len(sounds) > 1:
        tell(f"the sample holds {len(sounds)} sounds: {PurePosixPath(sounds[0]).name} is taken")
    facts: dict[str, Any] = {}
    try:
        facts = json.loads(words.get(".json", b"{}"), **FINITE)
        text = words[".txt"].decode("utf-8") if ".txt" in words else None
    except (ValueError, RecursionError) as error:
        return tell(f"its JSON or text cannot be read: {str(error)[:100]}")
    if not isinstance(facts, dict):
        return tell("its JSON is no object")
    column = next((c for c in ([caption] if caption else CAPTION_COLUMNS) if c in facts), None)
    captions = text if column is None else facts.pop(column)
    name = f"{id.removesuffix(PurePosixPath(id).name)}{PurePosixPath(sounds[0]).name}"
    return name, tar / sounds[0], captions, facts
