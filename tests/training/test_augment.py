"""What crops and sounds go through before a branch: against the published system's outputs."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import RandomResizedCrop

from quavf.core.errors import ConfigError
from quavf.core.records import Image
from quavf.core.semantics import FIXED, REFERENCE
from quavf.core.windows import random_crop
from quavf.faces.crop import decode_jpeg
from quavf.models.crops import MEAN, STD
from quavf.models.transforms import face_part, normalise
from quavf.training.augment import add_noise, random_part, seed_sample
from quavf.training.config import AugmentConfig
from tests.helpers.data import GOLDEN, needs_golden

CONFIG = AugmentConfig()


@cache
def augment() -> Any:
    return json.loads((GOLDEN / "augment.json").read_text())


def golden_crop() -> Image:
    """`middle_tall`, a stored crop, as it comes back from its JPEG file (quality 95): RGB."""
    bgr = np.load(GOLDEN / "crops.npz")["middle_tall"]
    written = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    crop = decode_jpeg(written.tobytes())
    assert crop is not None
    return crop


@needs_golden
def test_published_transforms() -> None:
    golden = np.load(GOLDEN / "transforms.npz")
    crop = normalise(golden_crop())
    assert abs(crop.mean().item() - golden["test_mean"]) <= 1e-6
    valid = face_part(crop, REFERENCE)[0].numpy()
    np.testing.assert_allclose(valid, golden["valid_ch0"], rtol=0, atol=1e-6)
    torch.manual_seed(0)
    train = random_part(crop, CONFIG.crop_scale, CONFIG.crop_ratio)[0].numpy()
    np.testing.assert_allclose(train, golden["train_seed0_ch0"], rtol=0, atol=1e-6)


@needs_golden
def test_published_random_boxes() -> None:
    crop = torch.zeros(3, 224, 224)
    torch.manual_seed(0)
    drawn = [
        list(RandomResizedCrop.get_params(crop, list(CONFIG.crop_scale), list(CONFIG.crop_ratio)))
        for _ in augment()["RRC"]
    ]
    assert drawn == augment()["RRC"]


@needs_golden
def test_random_part_draws_the_published_boxes_one_by_one() -> None:
    """A picture that tells its own coordinates shows which part was taken."""
    rows = torch.arange(224.0)[:, None].expand(224, 224)
    columns = torch.arange(224.0)[None].expand(224, 224)
    crop = torch.stack([rows, columns, rows])
    torch.manual_seed(0)
    for top, left, height, width in augment()["RRC"]:
        part = random_part(crop, CONFIG.crop_scale, CONFIG.crop_ratio)
        assert part.shape == (3, 224, 224)
        centre = part[:2].mean(dim=(1, 2)).tolist()
        assert centre == pytest.approx([top + (height - 1) / 2, left + (width - 1) / 2], abs=0.05)
        assert part[0].max() - part[0].min() == pytest.approx(height - 1, abs=1)


@needs_golden
@pytest.mark.parametrize("index", range(4))
def test_published_random_crop_of_sound(index: int) -> None:
    golden = augment()["RandomCrop"][index]
    rng = random.Random(golden["seed"])
    assert random_crop(golden["n"], rng) == (golden["start"], golden["len"])


@needs_golden
def test_published_noise() -> None:
    golden = augment()["AddAudNoise"]
    rng = random.Random(golden["random.seed"])
    torch.manual_seed(golden["torch.manual_seed"])
    samples = torch.sin(torch.arange(1000) / 7)
    noisy = add_noise(samples, CONFIG, rng)
    np.testing.assert_allclose(noisy[:5].numpy(), golden["out_first5"], rtol=0, atol=1e-6)
    noise = noisy - samples
    snr_db = 10 * torch.log10(samples.pow(2).mean() / noise.pow(2).mean())
    assert snr_db.item() == pytest.approx(golden["snr_db"], abs=1e-3)


@pytest.mark.parametrize("samples", [torch.zeros(100), torch.zeros(0)])
def test_noise_on_silence_is_silence(samples: torch.Tensor) -> None:
    noisy = add_noise(samples, CONFIG, random.Random(0))
    assert torch.equal(noisy, samples)


def test_normalised_is_imagenet_rgb() -> None:
    crop = np.zeros((2, 2, 3), np.uint8)
    crop[..., 0] = 255
    expected = [(1 - MEAN[0]) / STD[0], -MEAN[1] / STD[1], -MEAN[2] / STD[2]]
    np.testing.assert_allclose(normalise(crop)[:, 1, 0], expected, rtol=1e-6)
    assert normalise(crop).shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("semantics", "columns"),
    [
        (FIXED, (56, 168)),
        (replace(FIXED, lopsided_valid_crop=True), (51, 173)),
        (REFERENCE, (51, 173)),
        (replace(REFERENCE, lopsided_valid_crop=False), (56, 168)),
    ],
)
def test_lopsided_valid_crop(semantics: Any, columns: tuple[int, int]) -> None:
    """Fixed, the face's part is square and in the middle; published, it is 10 columns wider."""
    mask = torch.zeros(3, 224, 224)
    mask[:, 56:168, columns[0] : columns[1]] = 1
    assert face_part(mask, semantics).min() == 1  # nothing from outside of the part
    columns_of_it = torch.arange(224.0).expand(3, 224, 224)
    part = face_part(columns_of_it, semantics)[0]
    assert part.min() == pytest.approx(columns[0], abs=0.5)
    assert part.max() == pytest.approx(columns[1] - 1, abs=0.5)
    rows_of_it = columns_of_it.transpose(1, 2)
    part = face_part(rows_of_it, semantics)[0]
    assert part.min() == pytest.approx(56, abs=0.5)
    assert part.max() == pytest.approx(167, abs=0.5)


def test_face_part_of_a_batch_is_that_of_each() -> None:
    crops = torch.rand(2, 3, 224, 224)
    parts = face_part(crops, FIXED)
    assert parts.shape == crops.shape
    torch.testing.assert_close(parts, torch.stack([face_part(crop, FIXED) for crop in crops]))


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=3))
def test_seeded_is_repeatable_and_leaves_no_trace(key: list[int]) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with seed_sample(*key) as rng:
            drawn.append((rng.random(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_differs_in_each_part_of_the_key() -> None:
    drawn = set()
    for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0)]:
        with seed_sample(*key) as rng:
            drawn.add(rng.random())
    assert len(drawn) == 4  # a key may end in zeros, all else differs


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop_scale": (0.6, 0.4)}, "crop_scale: 0.6 is over 0.4"),
        ({"crop_scale": (0.0, 0.4)}, r"crop_scale: \(0.0, 0.4\) is not in"),
        ({"crop_scale": (0.5, 1.1)}, r"crop_scale: \(0.5, 1.1\) is not in"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio: 2.0 is over 1.0"),
        ({"crop_ratio": (0.0, 1.0)}, r"crop_ratio: \(0.0, 1.0\) is not over 0"),
        ({"crop_ratio": (-1.0, 1.0)}, r"crop_ratio: \(-1.0, 1.0\) is not over 0"),
        ({"noise_snr_db": (20.0, 3.0)}, "noise_snr_db: 20.0 is over 3.0"),
        ({"flip": 1.1}, "flip: 1.1 is not in"),
        ({"flip": float("nan")}, "flip: nan is not in"),
        ({"noise": -0.1}, "noise: -0.1 is not in"),
    ],
)
def test_impossible_settings(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**values)
