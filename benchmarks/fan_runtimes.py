"""Time the scorer `fan` in each runtime and precision, relative to torch in fp32.

    python benchmarks/fan_runtimes.py [--rounds N] [--faces N]

Measures the whole scorer, including cropping, with FAN of the published size (four hourglass
modules) with random weights, on noise. All variants take turns within a round and use the same
threads, so that other load affects them alike; ratios are within a round. On a shared machine, the
ratio of CPU times is more stable.
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

from quavf.core.errors import ConfigError
from quavf.core.records import Image
from quavf.faces.quality.scorer import NetworkRunner, QualityScorer, open_scorer
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import run_network
from runtimes import PRECISIONS, RUNTIMES, describe_processor

MODULES = 4  # of the published network
SIDE = 150  # of the faces, pixels
CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time}
FIRST = "torch fp32"  # baseline


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Time the scorer fan in each runtime and precision."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faces", type=int, default=8, help="faces per round; a batch holds 8")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    faces = list(rng.integers(0, 256, (options.faces, SIDE, SIDE, 3)).astype(np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        scorers = open_scorers(Path(folder) / "fan.pth")
    expected = scorers[FIRST].score(faces)
    change = {name: np.abs(s.score(faces) - expected).max() for name, s in scorers.items()}
    rounds = [time_scorers(scorers, faces) for _ in range(options.rounds)]
    print(f"{describe_processor()}, {torch.get_num_threads()} threads, {options.rounds} rounds")
    print(f"{'':16}{'s a face':>10}{'speed-up':>26}{'scores differ by':>18}")
    for name in scorers:
        for clock in CLOCKS:
            own, first = ([found[n][clock] for found in rounds] for n in (name, FIRST))
            ratios = [a / b for a, b in zip(first, own, strict=True)]
            print(
                f"{name if clock == 'wall' else '':16}{statistics.median(own):10.3f} {clock:4}"
                f"{statistics.median(ratios):7.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                f"{change[name]:14.1e}"
            )


def open_scorers(path: Path) -> dict[str, QualityScorer]:
    """Open scorers by runtime and precision, with heat-map peaks inside (0, 1) as when trained."""
    torch.manual_seed(0)
    network = FAN(MODULES)
    last = network.get_submodule(f"l{MODULES - 1}")
    with torch.no_grad():
        last.get_parameter("weight").mul_(0.1)
        last.get_parameter("bias").fill_(0.3)
    torch.save(network.state_dict(), path)
    found: dict[str, QualityScorer] = {}
    for runtime in RUNTIMES:
        for precision in PRECISIONS:
            run = partial(
                run_network,
                config=InferenceConfig(runtime=runtime, precision=precision, device="cpu"),
            )
            name = f"{runtime} {precision}"
            runner = None if name == FIRST else NetworkRunner(run, precision)
            try:
                found[name] = open_scorer("fan", weights=path, runner=runner)
            except ConfigError as error:
                print(f"{name}: skipped: {error}")
    return found


def time_scorers(
    scorers: dict[str, QualityScorer], faces: list[Image]
) -> dict[str, dict[str, float]]:
    """Time each scorer once: seconds per face, by each clock."""
    found = {}
    for name, scorer in scorers.items():
        start = {clock: now() for clock, now in CLOCKS.items()}
        scorer.score(faces)
        found[name] = {c: (now() - start[c]) / len(faces) for c, now in CLOCKS.items()}
    return found


if __name__ == "__main__":
    main()
