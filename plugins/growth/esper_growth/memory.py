"""Settings of the memory allocator."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Ask the allocator to keep what this process frees, up to a gigabyte, where the allocator is glibc's.

    It would otherwise give large blocks back at once, and the system fills every new one with zeros: for activations
    that come and go in each step that was measured to take as long as the arithmetic.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
