"""The visual branch: an image network on each crop, temporal attention over the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F  # noqa: N812
from timm.models import group_modules
from torch import Tensor, nn

from quavf.core.errors import ConfigError
from quavf.core.records import CROP_SIZE, Floats, Image
from quavf.core.semantics import Semantics, get_semantics
from quavf.models.backbones import load_image_network
from quavf.models.branch import BranchNetwork
from quavf.models.config import BranchSettings, VisualConfig
from quavf.models.runners import Network, TorchRunner, to_array, to_scores
from quavf.models.temporal import TemporalModule
from quavf.models.transforms import face_part, normalise


class VisualBranch(BranchNetwork):
    """15 face crops and the window's quality in, logits of (not to me, to me) out.

    `encode` is the costly part and does not depend on the window: crops are encoded once and
    windows gathered from the features, which `classify` takes.
    """

    name = "visual"
    config: VisualConfig

    def __init__(self, config: VisualConfig, settings: BranchSettings | None = None) -> None:
        super().__init__(config, settings)
        self.backbone: Any = _backbone(config)
        self.temporal = nn.ModuleList(
            TemporalModule(self.settings.windows.n_slots, config.dim, config.n_heads)
            for _ in range(config.n_layers)
        )
        self.quality_embedding: nn.Embedding | None = None
        if config.use_quality:
            self.quality_embedding = nn.Embedding(config.quality_bins + 1, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.dim * (1 + config.use_quality), 2)
        if config.frozen:
            self.backbone.requires_grad_(False)
            for layer in self.last_layers():
                layer.requires_grad_(True)
        for module in self.frozen_modules():
            module.requires_grad_(False)
        self.has_moving_statistics = get_semantics(self.settings.semantics).moving_batch_norm
        # From the start: a change of layout between two steps would change their last bits.
        self.to(memory_format=torch.channels_last)

    def forward(self, crops: Tensor, quality: Tensor) -> Tensor:
        """crops (B, T, 3, H, W) normalised, quality (B,) in [0, 1] -> logits (B, 2)."""
        flat = crops.flatten(0, 1)  # (B*T, 3, H, W)
        if self.has_moving_statistics:  # empty slots take part in them
            features = self.encode(flat)  # (B*T, D)
        else:
            features = run_on_seen(self.encode, flat, flat.flatten(1).any(dim=1))  # (B*T, D)
        return self.classify(features.view(*crops.shape[:2], -1), quality)

    def encode(self, crops: Tensor) -> Tensor:
        """crops (N, 3, H, W) normalised -> features (N, D)."""
        features: Tensor = self.backbone(resize_down(crops, self.config.size))
        return features

    def embed(self, crops: Tensor) -> Tensor:
        """crops (N, 3, H, W) normalised -> (N, F), what the last layer takes: `encode` but for it.

        For networks that `check_split` finds no fault with.
        """
        maps = self.backbone.forward_features(resize_down(crops, self.config.size))
        features: Tensor = self.backbone.forward_head(maps, pre_logits=True)
        return features

    def encode_embedded(self, features: Tensor) -> Tensor:
        """features (N, F) of `embed` -> (N, D), as `encode` gives them."""
        (last,) = self.last_layers()
        found: Tensor = last(features)
        return found

    def forward_embedded(self, features: Tensor, seen: Tensor, quality: Tensor) -> Tensor:
        """`forward` by features (B, T, F) of `embed`; seen (B, T): false where a slot is empty."""
        flat = run_on_seen(self.encode_embedded, features.flatten(0, 1), seen.flatten())  # (B*T, D)
        return self.classify(flat.view(*seen.shape, -1), quality)

    def classify(self, features: Tensor, quality: Tensor) -> Tensor:
        """features (B, T, D), quality (B,) -> logits (B, 2)."""
        return self.classify_bins(features, quality_bins(quality, self.config.quality_bins))

    def classify_bins(self, features: Tensor, bins: Tensor | None = None) -> Tensor:
        """features (B, T, D), bins (B,) of the quality, if the branch has them -> logits (B, 2)."""
        x = features
        *inner, last = self.temporal
        for temporal in inner:
            x = temporal(x)[:, 1:]  # (B, T, D)
        x = last(x)[:, 0]  # (B, D), the class token
        if self.quality_embedding is not None:
            x = torch.cat([x, self.quality_embedding(bins)], dim=1)  # (B, 2D)
        logits: Tensor = self.head(self.dropout(x))  # (B, 2)
        return logits

    def run_on(self, device: str, run: Network | None = None) -> TorchVisual:
        """Arrays in and out, as `quavf.inference.remote.VisualModel`."""
        return TorchVisual(self.to(device), device, run)

    def frozen_modules(self) -> list[nn.Module]:
        """The backbone without its last layer if it is frozen, else its first `frozen_stages`."""
        modules = dict(self.backbone.named_modules())
        if self.config.frozen:
            last = {inner for layer in self.last_layers() for inner in layer.modules()}
            return [m for m in modules.values() if last.isdisjoint(m.modules())]
        if not self.config.frozen_stages:
            return []
        stages = group_modules(self.backbone, self.backbone.group_matcher(coarse=True))
        first = sorted(stages)[: self.config.frozen_stages]
        return [modules[name] for stage in first for name in stages[stage]]

    def load_pretrained(self) -> None:
        """Fill the backbone from where `backbone_weights` says; its last layer stays random."""
        load_image_network(self.backbone, self.last_layers(), self.config)

    def last_layers(self) -> list[nn.Module]:
        """The backbone's classifier; some networks have two, side by side."""
        last: nn.Module | tuple[nn.Module, ...] = self.backbone.get_classifier()
        return list(last) if isinstance(last, tuple) else [last]


class TorchVisual(TorchRunner):
    """The visual branch in torch."""

    def stack(self, pictures: Sequence[Image | None], grown: Semantics | None) -> Tensor:
        shape = len(pictures), 3, CROP_SIZE, CROP_SIZE
        crops = torch.empty(shape, memory_format=torch.channels_last)
        for k, picture in enumerate(pictures):
            if picture is None:
                crops[k] = 0
            else:
                crop = normalise(picture)
                crops[k] = crop if grown is None else face_part(crop[None], grown)[0]
        return crops

    @torch.inference_mode()
    def encode(self, crops: Tensor) -> Floats:
        crops = crops.to(self.device)
        if self.run is None:
            return to_array(self.network.encode(crops))
        return to_array(self.run(resize_down(crops, self.config.size)))

    @torch.inference_mode()
    def logits(self, features: Floats, quality: Floats) -> Floats:
        return to_array(self._logits(features, quality))

    @torch.inference_mode()
    def score(self, features: Floats, quality: Floats) -> Floats:
        return to_scores(self._logits(features, quality))

    def _logits(self, features: Floats, quality: Floats) -> Tensor:
        inputs = (torch.from_numpy(x).to(self.device) for x in (features, quality))
        logits: Tensor = self.network.classify(*inputs)
        return logits


def check_split(branch: VisualBranch) -> int:
    """Width F of what `embed` gives, if that and the last layer are all of the image network.

    Raises ConfigError where they are not, as with two last layers. Leaves the branch in eval mode.
    """
    crops = torch.randn(2, 3, CROP_SIZE, CROP_SIZE, generator=torch.Generator().manual_seed(0))
    try:
        for training in (True, False):
            branch.train(training)
            for module in branch.frozen_modules():
                module.eval()
            with torch.no_grad():
                features, whole = branch.embed(crops), branch.encode(crops)
                torch.testing.assert_close(branch.encode_embedded(features), whole)
        _, width = features.shape
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError):
        raise ConfigError(
            f"trainer.cache: {branch.config.backbone} cannot be cut before its last layer without "
            "a change of what it says; leave the cache out, or choose another visual.backbone"
        ) from None
    return int(width)


def run_on_seen(network: Callable[[Tensor], Tensor], x: Tensor, seen: Tensor) -> Tensor:
    """network(x) (N, D), with all rows that are not `seen` (N,), which are alike, run as one."""
    if bool(seen.all()):
        return network(x)
    empty = x[seen.long().argmin()][None]
    found = network(torch.cat([empty, x[seen]]))  # (1 + seen, D)
    return found[seen.cumsum(0) * seen]


def resize_down(crops: Tensor, size: int) -> Tensor:
    """crops (N, 3, H, W) -> (N, 3, size, size) where they are larger."""
    if crops.shape[-1] > size:
        crops = F.interpolate(crops, [size] * 2, mode="bilinear", antialias=True)
    return crops


def quality_bins(quality: Tensor, n_bins: int) -> Tensor:
    """quality (B,) in [0, 1] -> bins (B,) from 0 to `n_bins`."""
    # In the precision it comes in: 0.35 * 20 is 7 as float32 and as float64, but not mixed.
    return (quality * n_bins).long().clamp(0, n_bins)


def _backbone(config: VisualConfig) -> Any:
    try:
        model: Any = timm.create_model(config.backbone, num_classes=config.dim)
    except (RuntimeError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"visual.backbone: timm has no model {config.backbone!r} ({reason}); "
            "see `python -c 'import timm; print(timm.list_models())'`"
        ) from None
    told = model.pretrained_cfg
    size = told.get("input_size", (3, CROP_SIZE, CROP_SIZE))[-1]
    if told.get("fixed_input_size") and size != config.size and not takes_any_size(model):
        raise ConfigError(
            f"visual.backbone: {config.backbone} takes pictures of {size} x {size} only, faces are "
            f"{config.size} x {config.size}; choose another"
        )
    return model


def takes_any_size(model: Any) -> bool:
    """Whether an image network of timm's fits its positions to the picture in every pass."""
    return bool(getattr(model, "dynamic_img_size", False))
