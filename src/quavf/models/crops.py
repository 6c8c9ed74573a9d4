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
            part = picture if grown is None else face_part(picture, grown)
            steps = (size,) if grown is None else (CROP_SIZE, size)
            pixels = (resize(np.asarray(part, np.float32) / 255, *steps) - mean) / std
            stacked[k] = pixels.transpose(2, 0, 1)
    return stacked


def face_part(crop: Image, semantics: Semantics) -> Image:
    """The face of a 2x crop (224, 224, 3), a view."""
    columns = LOPSIDED_COLUMNS if semantics.lopsided_valid_crop else FACE_COLUMNS
    return crop[FACE_ROWS, columns]


def resize(pixels: Floats, *sizes: int) -> Floats:
    """(H, W, C) float32 -> (size, size, C), bilinear with antialiasing, as torch's.

    Of several sizes one after the other, all steps are made at once. A sum over the few inputs of
    each output: a product with the matrix of their weights would let BLAS start threads, which
    costs ten times as much on a busy machine.
    """
    for _ in range(2):  # rows, then columns
        if {len(pixels), *sizes} != {sizes[-1]}:
            inputs, weights = resize_taps(len(pixels), *sizes)  # (taps, size) each
            pixels = sum(pixels[i] * w[:, None, None] for i, w in zip(inputs, weights, strict=True))
        pixels = np.ascontiguousarray(pixels.transpose(1, 0, 2))
    return pixels


@cache
def resize_taps(n_in: int, *sizes: int) -> tuple[Ints, Floats]:
    """Inputs and their weights (taps, size), float32, of each output along one axis."""
    total = np.eye(n_in)
    for size in sizes:
        total = _resize_matrix(len(total), size) @ total  # (size, n_in)
    n_taps = int((total > 0).sum(axis=1).max())
    inputs = np.argsort(-total, axis=1, kind="stable")[:, :n_taps].T  # (taps, size)
    return inputs, np.take_along_axis(total.T, inputs, axis=0).astype(np.float32)


def _resize_matrix(n_in: int, n_out: int) -> Floats:
    """(n_out, n_in) the weight of each input in each output."""
    if n_in == n_out:
        return np.eye(n_in)
    reach = max(n_in / n_out, 1.0)  # half the width of the triangle
    centres = n_in / n_out * (np.arange(n_out)[:, None] + 0.5)
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(n_in) + 0.5 - centres) / reach)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
