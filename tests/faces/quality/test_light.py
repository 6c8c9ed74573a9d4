"""The light quality scorer: any size, gradual falls, no reward for noise."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from quavf.faces.quality.light import CHUNK, SIDE_GROWTH, LightScorer
from tests.helpers.data import REAL_MINI, needs_real

SIZES = [(1, 1), (1, 40), (40, 1), (2, 3), (63, 64), (64, 65), (130, 90), (300, 20)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def drawn_face(side: int = 180) -> np.ndarray:
    face = np.full((side, side, 3), 60, np.uint8)
    middle = side // 2
    cv2.ellipse(face, (middle, middle), (side // 3, side // 2 - 4), 0, 0, 360, (190, 150, 130), -1)
    for x in (middle - side // 7, middle + side // 7):
        cv2.rectangle(face, (x - 14, middle - 40), (x + 14, middle - 34), (50, 40, 30), -1)
        cv2.circle(face, (x, middle - 18), 9, (30, 20, 20), -1)
    cv2.line(face, (middle, middle - 15), (middle - 8, middle + 18), (130, 90, 80), 4)
    cv2.ellipse(face, (middle, middle + 42), (24, 8), 0, 0, 360, (150, 50, 60), -1)
    return face


def light(*regions: np.ndarray) -> np.ndarray:
    return LightScorer().score(regions)


def test_light_of_nothing_is_empty() -> None:
    scores = LightScorer().score([], np.empty(0))
    assert scores.shape == (0,)
    assert scores.dtype == np.float64


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_light_takes_any_size(height: int, width: int) -> None:
    score = light(noise(height, width))
    assert score.shape == (1,)
    assert 0 <= score[0] <= 1


def test_light_sees_nothing_in_nothing() -> None:
    grey = np.repeat(noise(120, 90)[:, :, :1], 3, axis=2)
    black, white = np.zeros((120, 90, 3), np.uint8), np.full((120, 90, 3), 255, np.uint8)
    flat = np.full((120, 90, 3), 128, np.uint8)
    assert light(grey, black, white, flat, noise(1, 1)).max() < 0.02
    assert light(drawn_face())[0] > 0.7


def test_light_keeps_the_order_across_chunks() -> None:
    regions = [drawn_face()[: 20 + i % 150] for i in range(CHUNK + 5)]
    alone = [light(region)[0] for region in regions]
    np.testing.assert_allclose(light(*regions), alone, rtol=1e-12)


def test_light_trusts_the_detector() -> None:
    face = drawn_face()
    plain = light(face)[0]
    scores = LightScorer().score([face] * 5, np.array([np.nan, 1.0, 0.6, 0.3, 0.0]))
    assert scores[0] == plain
    assert scores[1] == pytest.approx(plain, abs=0.01)
    assert np.all(np.diff(scores[1:]) < 0)
    assert scores[-1] == 0


def test_light_score_is_the_product_of_its_terms() -> None:
    regions = [drawn_face(), noise(30, 30)]
    confidences = np.array([0.5, np.nan])
    terms = LightScorer().terms(regions, confidences)
    score = LightScorer().score(regions, confidences)
    np.testing.assert_allclose(score, np.prod(list(terms.values()), axis=0))
    json.dumps(LightScorer().settings, allow_nan=False)


def blurred(face: np.ndarray, share: float) -> np.ndarray:
    return cv2.GaussianBlur(face, (0, 0), share * face.shape[1])


def shrunk(face: np.ndarray, side: float) -> np.ndarray:
    factor = side * SIDE_GROWTH / np.sqrt(face.shape[0] * face.shape[1])
    return cv2.resize(face, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def lit(face: np.ndarray, gain: float) -> np.ndarray:
    return np.clip(face * gain, 0, 255).astype(np.uint8)


DEGRADATIONS = {
    "blur": (blurred, (0.005, 0.01, 0.02, 0.03, 0.04)),
    "shrink": (shrunk, (90, 64, 48, 32, 24, 16, 8)),
    "darken": (lit, (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)),
    "overexpose": (lit, (1.2, 1.5, 2.0, 3.0)),
}


@needs_real
@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_light_falls_gradually_on_real_faces(kind: str) -> None:
    degrade, amounts = DEGRADATIONS[kind]
    for face in real_faces():
        scores = light(face, *(degrade(face, amount) for amount in amounts))
        assert scores[0] > 0.7
        assert scores[-1] < 0.3
        assert np.diff(scores).max() < 0.03, scores  # never rises by more than ripple


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_light_falls_on_a_drawn_face(kind: str) -> None:
    degrade, amounts = DEGRADATIONS[kind]
    scores = light(*(degrade(drawn_face(), amount) for amount in amounts))
    assert np.diff(scores).max() < 0.03, scores
    assert scores[-1] < 0.5 * scores[0]


def test_light_is_not_fooled_by_noise() -> None:
    soft = blurred(drawn_face(), 0.04)
    rough = soft + np.random.default_rng(1).normal(0, 10, soft.shape)
    soft_score, rough_score = light(soft, np.clip(rough, 0, 255).astype(np.uint8))
    assert rough_score < soft_score + 0.02


def real_faces() -> list[np.ndarray]:
    av = pytest.importorskip("av")
    faces = []
    for path in sorted((REAL_MINI / "annotations").glob("av_*.json")):
        for video in json.loads(path.read_text())["videos"]:
            for clip in video["clips"]:
                with av.open(REAL_MINI / "clips" / f"{clip['clip_uid']}.mp4") as container:
                    frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
                for person in clip["persons"]:
                    for track in person["tracking_paths"]:
                        row = track["track"][0]
                        if row["frame"] == 0:
                            faces.append(cut(frame, row))
    assert faces
    return faces


def cut(frame: np.ndarray, row: dict[str, float]) -> np.ndarray:
    x, y, w, h = (row[key] for key in ("x", "y", "width", "height"))
    top, left = max(0, int(y - 0.1 * h)), max(0, int(x - 0.1 * w))
    return frame[top : int(y + 1.1 * h), left : int(x + 1.1 * w)]
