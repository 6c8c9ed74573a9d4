"""Crops on their way into the visual branch, in NumPy; `quavf.models.transforms` has the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from quavf.core.records import CROP_SIZE, Floats, Image, Ints
from quavf.core.semantics import Semantics

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB
STD = (0.229, 0.224, 0.225)
FACE_ROWS = slice(56, 168)  # the middle of a 2x crop: the face box itself
FACE_COLUMNS = slice(56, 168)
LOPSIDED_COLUMNS = slice(51, 173)  # as published


def stack_crops(pictures: Sequence[Image | None], size: int, grown: Semantics | None) -> Floats:
    """RGB uint8 (224, 224, 3) each -> (N, 3, size, size) float32, normalised; None is all zeros.

    With `grown`, pictures are 2x crops, of which the face is taken and brought back to their size.
    """
    stacked = np.zeros((len(pictures), 3, size, size), np.float32)
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    for k, picture in enumerate(pictures):
        if picture is not None:
            pixels: Floats = np.asarray(picture, np.float32) / 255
            if grown is not None:
                pixels = resize(face_part(pixels, grown), CROP_SIZE)
            pixels = (resize(pixels, size) - mean) / std
            stacked[k] = pixels.transpose(2, 0, 1)
    return stacked


def face_part(crop: Floats, semantics: Semantics) -> Floats:
    """The face of a 2x crop (224, 224, 3), a view."""
    columns = LOPSIDED_COLUMNS if semantics.lopsided_valid_crop else FACE_COLUMNS
    return crop[FACE_ROWS, columns]


def resize(pixels: Floats, size: int) -> Floats:
    """(H, W, C) float32 -> (size, size, C), bilinear with antialiasing, as torch's.

    A sum over the few inputs of each output: a product with the matrix of their weights would let
    BLAS start threads, which costs ten times as much on a busy machine.
    """
    for _ in range(2):  # rows, then columns
        if len(pixels) != size:
            inputs, weights = resize_taps(len(pixels), size)  # (taps, size) each
            pixels = sum(pixels[i] * w[:, None, None] for i, w in zip(inputs, weights, strict=True))
        pixels = np.ascontiguousarray(pixels.transpose(1, 0, 2))
    return pixels


@cache
def resize_taps(n_in: int, n_out: int) -> tuple[Ints, Floats]:
    """Inputs and their weights (taps, n_out), float32, of each output along one axis."""
    reach = max(n_in / n_out, 1.0)  # half the width of the triangle
    centres = n_in / n_out * (np.arange(n_out) + 0.5)
    first = np.maximum((centres - reach + 0.5).astype(int), 0)
    inputs = first + np.arange(int(np.ceil(2 * reach)) + 1)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(inputs + 0.5 - centres) / reach)
    weights[inputs >= n_in] = 0.0
    used = weights.any(axis=1)
    shares = np.asarray(weights / weights.sum(axis=0), np.float32)
    return inputs.clip(max=n_in - 1)[used], shares[used]
