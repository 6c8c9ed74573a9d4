"""Transforms of a crop on its way into the visual branch, in torch; none of them is random."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import functional as F  # noqa: N812

from quavf.core.records import CROP_SIZE, Image
from quavf.core.semantics import Semantics
from quavf.models.crops import FACE_COLUMNS, FACE_ROWS, LOPSIDED_COLUMNS, MEAN, STD


def normalise(crop: Image) -> Tensor:
    """RGB uint8 (H, W, 3) -> float (3, H, W), ImageNet mean and deviation taken out."""
    pixels = torch.from_numpy(crop).permute(2, 0, 1).float() / 255  # (3, H, W)
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def face_part(crop: Tensor, semantics: Semantics) -> Tensor:
    """The face of 2x crops ([N,] 3, 224, 224), brought back to their size: not for training."""
    columns = LOPSIDED_COLUMNS if semantics.lopsided_valid_crop else FACE_COLUMNS
    return F.resize(crop[..., FACE_ROWS, columns], [CROP_SIZE, CROP_SIZE])  # type: ignore[no-any-return]
