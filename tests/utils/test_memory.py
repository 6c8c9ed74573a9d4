"""Freed memory goes back to the system."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from quavf.utils import memory
from quavf.utils.memory import release_memory


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_holes_between_small_blocks_are_given_back() -> None:
    memory._trim.cache_clear()
    pictures, small = [], []
    for _ in range(1000):
        pictures.append(np.ones(120_000, np.uint8))  # below the size that gets pages of its own
        small.append(np.ones(64, np.uint8))
    before = resident_mb()
    del pictures
    release_memory()
    assert resident_mb() < before - 60
    assert len(small) == 1000


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: object) -> None:
        raise OSError

    memory._trim.cache_clear()
    monkeypatch.setattr("ctypes.CDLL", nothing)
    release_memory()
    memory._trim.cache_clear()
