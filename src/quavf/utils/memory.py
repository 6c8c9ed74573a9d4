"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache


def release_memory() -> None:
    """Let go of freed memory; long work calls it now and then. Does nothing without glibc.

    glibc keeps freed pictures where something small lies between them: over an hour of video that
    came to 2 GB. Giving back 1 GB takes 16 ms.
    """
    _trim()(0)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], object]:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return lambda _: None
    trim.argtypes = (ctypes.c_size_t,)
    return trim
