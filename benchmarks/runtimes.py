"""The two costly networks in each runtime and precision, as a share of what the machine can do.

ResNet-50 on a batch of face crops, and the audio branch with Whisper small on 30 s of sound; random
weights, decoding left out. The ceiling is the largest square matrix product's throughput in the
same precision and the same round, by torch or by OpenVINO, whichever is higher. All ways take turns
within a round, on the same threads, so that what else the machine does meets them alike.

    python benchmarks/runtimes.py [--rounds N] [--out FILE.json]

Prints and writes GFLOP/s and share of the ceiling: median, lowest and highest over rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from quavf.inference.backends import OpenVinoEngine, openvino
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import AudioRunner, VisualRunner, running
from quavf.models.audio import AudioBranch
from quavf.models.config import AudioConfig, VisualConfig
from quavf.models.visual import VisualBranch

CROPS = 64  # of a batch, the default of `quavf predict`
MATRIX = 4096  # rows and columns of the products that measure the ceiling
RUNTIMES = ("torch", "openvino")
PRECISIONS = ("fp32", "bf16")
Work = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Runtimes against the machine's ceiling.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    ways, gflop = {**products(), **networks()}, costs()
    for work in ways.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            rates[name].append(gflop[name.split()[0]] / (time.perf_counter() - start))
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "openvino": openvino().__version__,
        "rounds": options.rounds,
        "rows": rows(rates),
    }
    for row in result["rows"]:
        print(
            f"{row['name']:28} {row['gflop_s']['median']:9.1f} GFLOP/s"
            f"{row['share']['median']:8.1%} of the ceiling"
            f" ({row['share']['lowest']:.1%} to {row['share']['highest']:.1%})"
        )
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def rows(rates: dict[str, list[float]]) -> list[dict[str, Any]]:
    """For each way its GFLOP/s, and its share of the round's ceiling in that precision."""
    found = []
    for name, own in rates.items():
        precision = name.split()[2]
        products = zip(*(rates[f"product {r} {precision}"] for r in RUNTIMES), strict=True)
        shares = [rate / max(ceiling) for rate, ceiling in zip(own, products, strict=True)]
        found.append({"name": name, "gflop_s": spread(own), "share": spread(shares)})
    return found


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def networks() -> dict[str, Work]:
    """`<network> <runtime> <precision>`: one pass on the same input."""
    crops, mel = inputs()
    crops = crops.contiguous(memory_format=torch.channels_last)
    made: dict[str, Work] = {}
    for runtime in RUNTIMES:
        for precision in PRECISIONS:
            how = InferenceConfig(runtime=runtime, precision=precision, device="cpu")
            seeing, hearing = running(visual(), how), running(audio(), how)
            assert isinstance(seeing, VisualBranch | VisualRunner)
            assert isinstance(hearing, AudioBranch | AudioRunner)
            made[f"resnet50 {runtime} {precision}"] = partial(quiet, seeing.encode, crops)
            made[f"whisper {runtime} {precision}"] = partial(quiet, hearing, mel)
    return made


def products() -> dict[str, Work]:
    """`product <runtime> <precision>`: a square matrix times another."""
    a, b = torch.randn(2, MATRIX, MATRIX)
    made: dict[str, Work] = {}
    for precision, kind in zip(PRECISIONS, (torch.float32, torch.bfloat16), strict=True):
        x, y = a.to(kind), b.to(kind)
        made[f"product torch {precision}"] = partial(quiet, torch.mm, x, y)
        layer = nn.Linear(MATRIX, MATRIX, bias=False).requires_grad_(False)
        model = openvino().convert_model(torch.export.export(layer, (a,)))
        made[f"product openvino {precision}"] = partial(
            OpenVinoEngine(model, InferenceConfig(precision=precision)), a
        )
    return made


def costs() -> dict[str, float]:
    """GFLOP of one pass, a multiplication and an addition counted as two."""
    crops, mel = inputs()
    torch.backends.mha.set_fastpath_enabled(False)
    found = {"product": 2 * MATRIX**3 / 1e9}
    for name, network, x in (("resnet50", visual().encode, crops[:1]), ("whisper", audio(), mel)):
        # the counter knows attention only as the products that it consists of
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            quiet(network, x)
        found[name] = counter.get_total_flops() / 1e9
    found["resnet50"] *= CROPS
    torch.backends.mha.set_fastpath_enabled(True)
    return found


def inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(CROPS, 3, 224, 224), torch.randn(1, 80, 3000)


def visual() -> VisualBranch:
    return VisualBranch(VisualConfig(backbone_weights="random")).eval().requires_grad_(False)


def audio() -> AudioBranch:
    return AudioBranch(AudioConfig(encoder_weights="random")).eval().requires_grad_(False)


def quiet(work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return work(*inputs)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    able = " with AMX" if any("amx_bf16" in line for line in lines) else ""
    return f"{len(names)} x {names[0]}{able}" if names else platform.processor()


if __name__ == "__main__":
    main()
