"""Keep freed memory for the next step, instead of giving it back to the system and asking for it again.

glibc maps every large block anew and unmaps it when it is freed, so that each activation of a step costs page faults:
some 15 % of a step of the `tiny` preset on two cores. The thresholds make it reuse blocks; the peak stays what it is.
"""

from __future__ import annotations

import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_REUSED = 32 * 2**20  # bytes: larger blocks are mapped one by one as ever; glibc allows no more
_KEPT = 512 * 2**20


def keep_freed_memory() -> bool:
    """Set the thresholds for this process; return whether the system knows them (Linux with glibc does)."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _REUSED) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
