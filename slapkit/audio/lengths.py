"""What a sound file's own structure says about its length, where soundfile believes a header too much.

A length is a promise. `missing` finds files that end before it, `is_open` those that make none, or one that does not
cover the file: written to a pipe, joined, chained, or of variable bit rate without a table.
"""

import mmap
import os
import re
import struct
from pathlib import Path

_BEGINS, _PAGE = b"OggS\0\x02", b"OggS\0"  # a page of Ogg; the first one of a stream
# In the log of libsndfile.
_CLAIM = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)", re.MULTILINE)
_NO_CLAIM = ((0x7F000000, 0x80000000), (0xFFFFF000, 0xFFFFFFFF))  # what programs write to a pipe for want of a length
_COMPLETE = 0.9  # of the promised length: with less than this the file was cut off


def is_short(found: int, promised: int) -> bool:
    """Say whether a file of which so much was found was cut off; a little less than promised is usual."""
    return found < _COMPLETE * promised


def missing(path: Path, log: str = "") -> str:
    """Return in words what a file promises and does not hold, by its structure; "" where nothing is known to miss.

    `log` is what libsndfile says about it.
    """
    kind = _kind(path)
    if kind == "OGG":
        return "" if _ends_with_a_page(path) else "its last page is incomplete"
    there, promised = {"MP3": _bytes_of_mp3, "CAF": _bytes_of_caf}.get(kind, lambda _: _bytes_in(log))(path)
    return f"{there:,} of {promised:,} bytes are there" if is_short(there, promised) else ""


def is_open(path: Path) -> bool:
    """Say whether libsndfile would not know how long a file is: MP3 without a right table, chained Ogg."""
    kind = _kind(path)
    if kind == "MP3":
        there, promised = _bytes_of_mp3(path)
        return there > 1.01 * promised + 4096  # tags may follow
    return kind == "OGG" and _is_chained(path)


def _kind(path: Path) -> str:
    """Return the kind of a file whose structure is looked at here, by how it begins."""
    with open(path, "rb") as file:
        file.seek(_after_tags(file))
        start = file.read(4)
    return {b"OggS": "OGG", b"caff": "CAF"}.get(start, "MP3" if start[:1] == b"\xff" else "")


def _after_tags(file) -> int:
    """Return where the first ID3 tags of an open file end."""
    at = 0
    while (head := file.read(10))[:3] == b"ID3" and len(head) == 10:  # seven bits a byte
        at += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0)))
        file.seek(at)
    return at


def _bytes_in(log: str) -> tuple[int, int]:
    """Return how many bytes of samples are there and how many are promised, by libsndfile's log."""
    promised, there = map(int, found.groups()) if (found := _CLAIM.search(log)) else (0, 0)
    return there, 0 if any(low <= promised <= high for low, high in _NO_CLAIM) else promised


def _bytes_of_mp3(path: Path) -> tuple[int, int]:
    """Return how many bytes of frames an MP3 file holds, and how many its Xing table promises: 0 without a table."""
    with open(path, "rb") as file:
        at = _after_tags(file)
        file.seek(at)
        frame = file.read(4096)
    there = os.path.getsize(path) - at
    table = re.search(rb"\xff[\xe2-\xff].{11,34}?(?:Xing|Info)\0\0\0(.)(.*)", frame, re.DOTALL)
    if table is None or not table[1][0] & 2:
        return there, 0
    place = 4 * (table[1][0] & 1)  # the number of frames comes first
    return there - table.start(), int.from_bytes(table[2][place : place + 4], "big")


def _bytes_of_caf(path: Path) -> tuple[int, int]:
    """Return how many bytes of samples a CAF file holds, and how many it promises: 0 where the length is left open."""
    size, at = os.path.getsize(path), 8
    with open(path, "rb") as file:
        while at + 12 <= size:
            file.seek(at)
            name, length = struct.unpack(">4sq", file.read(12))
            if name == b"data" or length < 0:
                return size - at - 12, max(length, 0)
            at += 12 + length
    return 0, 0


def _is_chained(path: Path) -> bool:
    """Say whether one Ogg stream follows another."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(_BEGINS, 4) >= 0


def _ends_with_a_page(path: Path) -> bool:
    """Say whether the last page of an Ogg file is there to its last byte."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(_PAGE)
        end = at + 27 + (data[at + 26] if at + 26 < len(data) else 0)
        return at >= 0 and end <= len(data) and end + sum(data[at + 27 : end]) <= len(data)
