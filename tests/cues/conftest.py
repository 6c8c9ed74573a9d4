"""Outputs of the original perception networks, written by `scripts/build_perception.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def originals() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("perception.npz")) as file:
        return dict(file)
