"""The published quality score: the confidence of a facial landmark network."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quavf.core.errors import CheckpointError, ConfigError, QuavfError
from quavf.core.records import Floats, Image
from quavf.faces.quality.scorer import ScorerOptions, check_regions

if TYPE_CHECKING:
    import torch

FAN_MODEL = "2DFAN-4"  # its name in face_alignment.api.models_urls
FAN_INPUT = 256  # pixels, both sides
FAN_REFERENCE_SCALE = 195.0  # box width + height that FAN calls scale 1 (face_alignment.utils)
FAN_CENTRE_RISE = 0.12  # the centre moves up by this share of the box height


class FanScorer:
    """Mean over 68 landmarks of each heat map's maximum (QuAVF, face quality), without flip test.

    The landmark network is FAN (Bulat and Tzimiropoulos, ICCV 2017), last stack, as the package
    `face-alignment` holds it. Its published score is not clipped; here it is, to [0, 1]. That
    changes a score only where the *mean* of 68 peaks leaves the range, and the network learnt
    peaks of at most 1 over a ground of 0, so it is a guard, not a correction.

    Raises ConfigError without `face-alignment` or for a device that is not there, QuavfError when
    the weights cannot be downloaded, CheckpointError when they are not FAN's.
    """

    name = "fan"

    def __init__(self, options: ScorerOptions | None = None) -> None:
        options = options or ScorerOptions()
        _require_face_alignment()
        weights = options.weights or _download_fan()
        state = _read_weights(weights)
        self._weights = weights
        network, modules = _build_fan(state, weights)
        self._peaks = self._move_to_device(_heat_map_peaks(network), options)
        self._batch_size = options.batch_size
        self.settings: dict[str, Any] = {
            "network": "FAN",
            "modules": modules,
            "flip_test": False,
            "weights_sha256": _sha256(weights),
        }
        if options.runner and options.runner.precision != "fp32":
            self.settings["precision"] = options.runner.precision

    def score(self, regions: Sequence[Image], confidences: Floats | None = None) -> Floats:
        """(N,) float64; see `QualityScorer.score`. `confidences` are not used."""
        import torch

        check_regions(regions)
        scores = np.empty(len(regions))
        for start in range(0, len(regions), self._batch_size):
            batch = np.stack([fan_input(r) for r in regions[start : start + self._batch_size]])
            faces = torch.from_numpy(batch).to(self._device)  # (B, 256, 256, 3)
            faces = faces.permute(0, 3, 1, 2).float() / 255  # (B, 3, 256, 256)
            with torch.inference_mode():
                means = self._peaks(faces).double().mean(dim=1)  # (B,)
            scores[start : start + len(batch)] = means.cpu().numpy()
        if not np.isfinite(scores).all():
            raise CheckpointError(f"{self._weights}: the network gives no finite scores")
        return np.clip(scores, 0.0, 1.0)

    def _move_to_device(
        self, network: torch.nn.Module, options: ScorerOptions
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """The network on its device, with the runtime of the options."""
        import torch

        device = options.device
        try:
            self._device = torch.device(device)
            # the input comes channels last; a fifth faster on a CPU, equal to 3e-6
            network.to(self._device).to(memory_format=torch.channels_last)
        # torch built without CUDA answers with an AssertionError
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"quality device {device!r}: cannot be used ({reason}); try 'cpu'"
            ) from error
        if options.runner is None:
            return network
        return options.runner.run(network, torch.zeros(2, 3, FAN_INPUT, FAN_INPUT))


def fan_input(region: Image) -> Image:
    """The (256, 256, 3) picture that FAN sees of a face region, black where it reaches outside.

    The whole region is the face box; centre and scale as `face_alignment.FaceAlignment` sets them.
    """
    from face_alignment.utils import crop

    height, width = region.shape[:2]
    centre = np.array([width / 2, height / 2 - FAN_CENTRE_RISE * height])
    picture: Image = crop(region, centre, (width + height) / FAN_REFERENCE_SCALE)
    return picture


def _require_face_alignment() -> None:
    try:
        import face_alignment.models  # noqa: F401  (before 1.5 there is no such module)
    except ImportError as error:
        raise ConfigError(
            "quality scorer 'fan': needs face-alignment 1.5 or newer, which cannot be imported "
            f"({error}); pip install 'quavf[fan]', or use the scorer 'light'"
        ) from error


def _download_fan() -> Path:
    """The published weights, from the library's cache or its web site. QuavfError when neither."""
    from face_alignment import utils
    from face_alignment.api import models_urls

    url = models_urls[FAN_MODEL]
    try:
        return Path(utils.load_file_from_url(url, check_hash=True))
    # RuntimeError: what came down does not have the hash in its name
    except (OSError, HTTPException, RuntimeError) as error:
        raise QuavfError(
            f"quality scorer 'fan': its weights cannot be downloaded ({error}); fetch {url} "
            "on a machine that can and pass --weights FILE, or use the scorer 'light'"
        ) from error


def _read_weights(path: Path) -> dict[str, Any]:
    """A state dict on the CPU, nothing in the file executed. CheckpointError otherwise."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    # what a broken file raises depends on where it is broken, and torch names no common class
    except Exception as error:
        raise CheckpointError(
            f"{path}: not a weights file that is safe to load; expected the state dict of "
            f"{FAN_MODEL} (.pth or .pth.tar), download it again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(
            f"{path}: holds a {type(state).__name__}; expected the state dict of {FAN_MODEL}"
        )
    return state


def _build_fan(state: dict[str, Any], path: Path) -> tuple[torch.nn.Module, int]:
    """The network in evaluation mode and its number of hourglass modules, counted from its keys."""
    from face_alignment.models import FAN

    modules = sum(re.fullmatch(r"l\d+\.weight", key) is not None for key in state)
    if modules == 0:
        raise CheckpointError(
            f"{path}: no key 'l0.weight', so this is not a FAN network; expected the state dict of "
            f"{FAN_MODEL}"
        )
    network: torch.nn.Module = FAN(modules)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        detail = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise CheckpointError(
            f"{path}: does not fit FAN with {modules} hourglass modules ({detail}); expected the "
            f"state dict of {FAN_MODEL}"
        ) from error
    return network.eval(), modules


def _heat_map_peaks(fan: torch.nn.Module) -> torch.nn.Module:
    """A network of pictures (B, 3, 256, 256) -> maxima of the last stack's heat maps (B, 68)."""
    from torch import Tensor, nn

    class FanPeaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fan = fan

        def forward(self, faces: Tensor) -> Tensor:
            heat_maps: Tensor = self.fan(faces)[-1]  # (B, 68, 64, 64)
            return heat_maps.amax(dim=(2, 3))  # (B, 68)

    return FanPeaks().eval()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
