"""Ogg files that repeat: encoders give a stream a random serial number, this gives it a chosen one.

Each page of an Ogg file (RFC 3533) carries the serial number of its stream and a checksum over the page, so the
checksum changes too. A CRC is linear: that of the new page is that of the old one, xor that of the difference, which is
four bytes followed by zeros, and zeros are appended by powers of a matrix instead of byte by byte.
"""

from __future__ import annotations

import functools
import struct

_POLYNOMIAL = 0x04C11DB7  # most significant bit first, no reflection, start and final xor 0
_SERIAL, _CRC, _HEADER = 14, 22, 27  # offsets in a page, and the size of its fixed head


def _shift(value: int, bits: int) -> int:
    for _ in range(bits):
        value = ((value << 1) ^ (_POLYNOMIAL if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


@functools.cache
def _zero_bytes(power: int) -> tuple[int, ...]:
    """Return the images of the 32 single bits when 2**power zero bytes follow."""
    if power == 0:
        return tuple(_shift(1 << bit, 8) for bit in range(32))
    half = _zero_bytes(power - 1)
    return tuple(_apply(half, image) for image in half)


def _apply(images: tuple[int, ...], value: int) -> int:
    result = 0
    while value:
        low = value & -value
        result ^= images[low.bit_length() - 1]
        value ^= low
    return result


def crc_difference(difference: bytes, zeros: int) -> int:
    """Return the CRC of four bytes followed by a number of zero bytes."""
    value = _shift(int.from_bytes(difference, "big"), 32)
    power = 0
    while zeros:
        if zeros & 1:
            value = _apply(_zero_bytes(power), value)
        zeros >>= 1
        power += 1
    return value


def set_serial(data: bytes, serial: int) -> bytes:
    """Return an Ogg file with one logical stream under another serial number, checksums corrected.

    Raises:
        ValueError: the bytes are not a sequence of Ogg pages.
    """
    result = bytearray(data)
    new = struct.pack("<I", serial & 0xFFFFFFFF)
    start = 0
    while start < len(data):
        if data[start : start + 4] != b"OggS" or start + _HEADER > len(data):
            raise ValueError(f"no Ogg page at byte {start}")
        segments = data[start + 26]
        size = _HEADER + segments + sum(data[start + _HEADER : start + _HEADER + segments])
        old = data[start + _SERIAL : start + _SERIAL + 4]
        difference = bytes(a ^ b for a, b in zip(old, new, strict=True))
        (crc,) = struct.unpack_from("<I", data, start + _CRC)
        result[start + _SERIAL : start + _SERIAL + 4] = new
        struct.pack_into("<I", result, start + _CRC, crc ^ crc_difference(difference, size - _SERIAL - 4))
        start += size
    return bytes(result)
