"""Transforms of crops before the network, and generators seeded per sample.

Everything random is drawn from generators that are seeded per sample, so that a run can be repeated
and resumed to the same bit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as F  # noqa: N812

from quavf.core.records import CROP_SIZE, Image
from quavf.core.semantics import Semantics

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB
STD = (0.229, 0.224, 0.225)
FACE_ROWS = slice(56, 168)  # the middle of a 2x crop: the face box itself
FACE_COLUMNS = slice(56, 168)
LOPSIDED_COLUMNS = slice(51, 173)  # as published


def normalised(crop: Image) -> Tensor:
    """RGB uint8 (H, W, 3) -> float (3, H, W), ImageNet mean and deviation taken out."""
    pixels = torch.from_numpy(crop).permute(2, 0, 1).float() / 255  # (3, H, W)
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def face_part(crop: Tensor, semantics: Semantics) -> Tensor:
    """The face of 2x crops ([N,] 3, 224, 224), brought back to their size: not for training."""
    columns = LOPSIDED_COLUMNS if semantics.lopsided_valid_crop else FACE_COLUMNS
    return F.resize(crop[..., FACE_ROWS, columns], [CROP_SIZE, CROP_SIZE])  # type: ignore[no-any-return]


Range = tuple[float, float]  # lowest and highest


def random_part(crop: Tensor, scale: Range, ratio: Range) -> Tensor:
    """Cut a random part out of a 2x crop and resize it to 224 x 224.

    `scale` is its share of the area, `ratio` its width to height. Draws from torch's global
    generator.
    """
    top, left, height, width = RandomResizedCrop.get_params(crop, list(scale), list(ratio))
    return F.resized_crop(crop, top, left, height, width, [CROP_SIZE, CROP_SIZE])  # type: ignore[no-any-return]


@contextmanager
def seeded(*key: int) -> Iterator[random.Random]:
    """A generator for this sample alone; torch's global one is seeded alike inside the block."""
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield random.Random(seed)
