"""Seconds a face of the scorer `fan` in each runtime and precision, as ratios to torch in fp32.

    python benchmarks/fan_runtimes.py [--rounds N] [--faces N]

FAN of four hourglass modules, the published size, with random weights, on faces of noise; the
scorer as a whole, cutting its input included. All ways take turns within a round, on the same
threads, so that what else the machine does meets them alike; a ratio is of one round. Where others
use the machine, that of CPU time is the steadier one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from face_alignment.models import FAN

from quavf.core.records import Image
from quavf.faces.quality.scorer import NetworkRunner, QualityScorer, open_scorer
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import run_network
from runtimes import PRECISIONS, RUNTIMES, processor

MODULES = 4  # of the published network
SIDE = 150  # of the faces, pixels
CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time}
FIRST = "torch fp32"  # what the others are compared with


def main() -> None:
    parser = argparse.ArgumentParser(description="The scorer fan in each runtime and precision.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faces", type=int, default=8, help="in a round; a batch holds 8")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    faces = list(rng.integers(0, 256, (options.faces, SIDE, SIDE, 3)).astype(np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        scorers = opened(Path(folder) / "fan.pth")
    expected = scorers[FIRST].score(faces)
    change = {name: np.abs(s.score(faces) - expected).max() for name, s in scorers.items()}
    rounds = [measured(scorers, faces) for _ in range(options.rounds)]
    print(f"{processor()}, {torch.get_num_threads()} threads, {options.rounds} rounds")
    print(f"{'':16}{'s a face':>10}{'times as fast':>26}{'scores differ by':>18}")
    for name in scorers:
        for clock in CLOCKS:
            own, first = ([found[n][clock] for found in rounds] for n in (name, FIRST))
            ratios = [a / b for a, b in zip(first, own, strict=True)]
            print(
                f"{name if clock == 'wall' else '':16}{statistics.median(own):10.3f} {clock:4}"
                f"{statistics.median(ratios):7.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                f"{change[name]:14.1e}"
            )


def opened(path: Path) -> dict[str, QualityScorer]:
    """By runtime and precision. The network's peaks lie inside (0, 1), as the trained one's do."""
    torch.manual_seed(0)
    network = FAN(MODULES)
    last = network.get_submodule(f"l{MODULES - 1}")
    with torch.no_grad():
        last.get_parameter("weight").mul_(0.1)
        last.get_parameter("bias").fill_(0.3)
    torch.save(network.state_dict(), path)
    found = {}
    for runtime in RUNTIMES:
        for precision in PRECISIONS:
            run = partial(
                run_network,
                config=InferenceConfig(runtime=runtime, precision=precision, device="cpu"),
            )
            name = f"{runtime} {precision}"
            runner = None if name == FIRST else NetworkRunner(run, precision)
            found[name] = open_scorer("fan", weights=path, runner=runner)
    return found


def measured(scorers: dict[str, QualityScorer], faces: list[Image]) -> dict[str, dict[str, float]]:
    """Seconds a face of each, once, by each clock."""
    found = {}
    for name, scorer in scorers.items():
        start = {clock: now() for clock, now in CLOCKS.items()}
        scorer.score(faces)
        found[name] = {c: (now() - start[c]) / len(faces) for c, now in CLOCKS.items()}
    return found


if __name__ == "__main__":
    main()
