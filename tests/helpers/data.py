"""Paths of the repository and of optional test data: the published outputs, real footage."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from quavf.core.records import Image

ROOT = Path(__file__).parents[2]  # of the repository
SHARED = Path(os.environ.get("QUAVF_TEST_DATA", ROOT.parent / "shared"))
GOLDEN = SHARED / "golden"
REAL_MINI = SHARED / "real_mini"
REAL_TALK = SHARED / "real_talk"


def read_picture(path: Path) -> Image:
    """(H, W, 3) BGR."""
    picture = cv2.imread(str(path))
    assert picture is not None, path
    return np.asarray(picture, np.uint8)


needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason=f"the published system's outputs are not at {GOLDEN}"
)
needs_real = pytest.mark.skipif(
    not REAL_MINI.is_dir(), reason=f"the real footage is not at {REAL_MINI}"
)
