from __future__ import annotations

import numpy as np
import pytest

from quavf.faces.patches import search_patch


@pytest.mark.parametrize(
    "box", [[0, 0, 5, 5], [630, 350, 700, 400], [-300, -300, -200, -200], [0, 0, 640, 360]]
)
def test_patches_stay_inside_the_picture(box: list[float]) -> None:
    (x1, y1, x2, y2), scale = search_patch(np.array(box, float), (640, 360))
    assert 0 <= x1 <= x2 <= 640
    assert 0 <= y1 <= y2 <= 360
    assert max(x2 - x1, y2 - y1) * scale <= 385
