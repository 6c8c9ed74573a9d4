from __future__ import annotations

import numpy as np
import pytest

from quavf.faces.appearance import DESCRIPTOR, describe_appearance, scene_colours, similarity


def test_scene_colours_are_shares() -> None:
    assert scene_colours(np.full((36, 64, 3), 90, np.uint8)).sum() == pytest.approx(1)


def test_descriptions_tell_clothes_apart() -> None:
    picture = np.full((200, 200, 3), 60, np.uint8)
    picture[20:80, 70:130] = (200, 150, 120)
    red, blue = picture.copy(), picture.copy()
    red[80:], blue[80:] = (200, 30, 30), (30, 30, 200)
    box = np.array([70.0, 20, 130, 80])
    a, b = describe_appearance(red, box), describe_appearance(blue, box)
    assert a.shape == (DESCRIPTOR,)
    assert similarity(a, a) == pytest.approx(1)
    assert similarity(a, b) < 0.7
    cut_off = describe_appearance(red[:85], box)  # no clothes in the picture: compare only faces
    assert similarity(a, cut_off) == pytest.approx(1)
    assert np.isnan(similarity(a, np.full(DESCRIPTOR, np.nan)))
