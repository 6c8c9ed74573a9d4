"""Compare prediction that encodes each crop once with window-by-window encoding.

The published system encodes all 15 crops of every window, so each crop is encoded up to 15 times.
quavf encodes a crop once and gathers windows from the features. Everything else is equal: ResNet-50
with random weights, 224 x 224 crops, batch size and threads. The two alternate.

    python benchmarks/encode_once.py [FRAMES]

Prints the seconds per prediction of both (median over rounds), their ratio, and the largest
difference of the outputs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from quavf.core.clock import Clock
from quavf.core.records import Floats
from quavf.core.windows import EMPTY, Span, VisualWindows, WindowConfig, span_windows
from quavf.inference.remote import RemoteVisual, VisualModel
from quavf.models.config import VisualConfig
from quavf.models.visual import VisualBranch

BATCH = 60  # crops per forward pass in both: four windows
ROUNDS = 3
N_WINDOWED = 24  # windows encoded one by one per round; all cost the same


@dataclass(frozen=True)
class Timing:
    """Seconds per prediction, and the largest difference of a logit."""

    once_s: float
    windowed_s: float
    difference: float

    @property
    def ratio(self) -> float:
        return self.windowed_s / self.once_s


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("frames", type=int, nargs="?", default=480, help="frames of the clip (480)")
    n_frames: int = parser.parse_args().frames
    torch.manual_seed(0)
    branch = VisualBranch(VisualConfig(backbone_weights="random")).eval()
    rounds = []
    for found in compare(branch, None, n_frames, ROUNDS):
        rounds.append(found)
        text = f"{found.ratio:.1f} times faster, outputs within {found.difference:.1e}"
        print(f"round {len(rounds)}: {text}")
    once = statistics.median(r.once_s for r in rounds)
    each = statistics.median(r.windowed_s for r in rounds)
    print(f"{torch.get_num_threads()} threads, {n_frames} frames, ResNet-50 at 224 x 224")
    print(f"window by window  {each * 1000:8.1f} ms per prediction")
    print(f"encoded once      {once * 1000:8.1f} ms per prediction")
    print(f"ratio             {each / once:8.1f}")
    print(f"largest difference of a logit: {max(r.difference for r in rounds):.1e}")


def compare(
    branch: VisualBranch, model: VisualModel | None, n_frames: int, n_rounds: int
) -> Iterator[Timing]:
    """Time `model` with each crop encoded once against `branch` window by window.

    `model` is the same networks in another runtime; None is the branch itself.
    """
    branch.to(memory_format=torch.channels_last)
    crops = torch.randn(n_frames, 3, 224, 224).to(memory_format=torch.channels_last)
    frames = np.arange(n_frames)
    quality = np.random.default_rng(0).uniform(0.3, 0.9, n_frames)
    span = Span(1, 0, n_frames - 1)
    windows = span_windows(frames, quality, span, WindowConfig(), Clock())
    # spread over the clip, so that their share of empty slots is that of the clip
    some = np.linspace(0, n_frames - 1, N_WINDOWED).astype(int)

    for _ in range(n_rounds):
        start = time.perf_counter()
        once = predict_once(model or branch.run_on("cpu"), crops, windows)
        middle = time.perf_counter()
        windowed = predict_windowed(branch, crops, windows, some)
        end = time.perf_counter()
        difference = float(np.abs(once[some] - windowed.numpy()).max())
        yield Timing((middle - start) / n_frames, (end - middle) / N_WINDOWED, difference)


def predict_once(model: VisualModel, crops: torch.Tensor, windows: VisualWindows) -> Floats:
    """Logits (W, 2) of all windows, each crop encoded once."""
    batches: list[Any] = [*torch.split(crops, BATCH), torch.zeros(1, *crops.shape[1:])]
    if isinstance(model, RemoteVisual):
        batches = [batch.contiguous().numpy() for batch in batches]
    features = np.concatenate([model.encode(batch) for batch in batches])  # (N + 1, D)
    return model.logits(features[windows.slots], windows.quality)  # EMPTY is the last row


@torch.inference_mode()
def predict_windowed(
    branch: VisualBranch, crops: torch.Tensor, windows: VisualWindows, some: np.ndarray
) -> torch.Tensor:
    """Logits (len(some), 2) of some windows, all crops of each encoded again."""
    n_slots = windows.slots.shape[1]
    logits = []
    for first in range(0, len(some), BATCH // n_slots):
        rows = some[first : first + BATCH // n_slots]
        slots = torch.from_numpy(windows.slots[rows])  # (B, T)
        batch = crops[slots.clamp(min=0)]  # (B, T, 3, H, W)
        batch[slots == EMPTY] = 0.0
        logits.append(branch(batch, torch.from_numpy(windows.quality[rows])))
    return torch.cat(logits)


if __name__ == "__main__":
    main()
