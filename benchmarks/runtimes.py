"""Throughput of the two large networks in each runtime and precision, relative to a ceiling.

Runs ResNet-50 on a batch of face crops, and the audio branch with Whisper small on 30 s of sound,
with random weights and without decoding. The ceiling is the throughput of a large square matrix
product in the same precision and round, by torch or OpenVINO, whichever is higher. All variants
take turns within a round and use the same threads, so that other load affects them alike.

    python benchmarks/runtimes.py [--rounds N] [--out FILE.json]

Prints and writes GFLOP/s and share of the ceiling: median, minimum and maximum over rounds.
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

from quavf.inference.backends import OpenVinoBackend
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import run_branch
from quavf.models.audio import AudioBranch
from quavf.models.config import AudioConfig, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.utils.openvino import openvino

CROPS = 64  # per batch, as in `quavf predict`
MATRIX = 4096  # rows and columns of the matrices for the ceiling
RUNTIMES = ("torch", "openvino")
PRECISIONS = ("fp32", "bf16")
Work = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of runtimes relative to a ceiling.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    variants, gflop = {**build_products(), **build_networks()}, count_gflop()
    for work in variants.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, work in variants.items():
            start = time.perf_counter()
            work()
            rates[name].append(gflop[name.split()[0]] / (time.perf_counter() - start))
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": describe_processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "openvino": openvino().__version__,
        "rounds": options.rounds,
        "rows": build_rows(rates),
    }
    for row in result["rows"]:
        print(
            f"{row['name']:28} {row['gflop_s']['median']:9.1f} GFLOP/s"
            f"{row['share']['median']:8.1%} of the ceiling"
            f" ({row['share']['lowest']:.1%} to {row['share']['highest']:.1%})"
        )
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def build_rows(rates: dict[str, list[float]]) -> list[dict[str, Any]]:
    """GFLOP/s of each variant, and its share of the round's ceiling in that precision."""
    found = []
    for name, own in rates.items():
        precision = name.split()[2]
        products = zip(*(rates[f"product {r} {precision}"] for r in RUNTIMES), strict=True)
        shares = [rate / max(ceiling) for rate, ceiling in zip(own, products, strict=True)]
        found.append({"name": name, "gflop_s": summarise(own), "share": summarise(shares)})
    return found


def summarise(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def build_networks() -> dict[str, Work]:
    """Build one forward pass for each `<network> <runtime> <precision>`."""
    crops, mel = make_inputs()
    crops = crops.contiguous(memory_format=torch.channels_last)
    made: dict[str, Work] = {}
    for runtime in RUNTIMES:
        for precision in PRECISIONS:
            how = InferenceConfig(runtime=runtime, precision=precision, device="cpu")
            seeing: Any = run_branch(build_visual(), how)
            hearing: Any = run_branch(build_audio(), how)
            see: Work = partial(seeing.encode, crops)
            if runtime == "openvino":
                see = partial(seeing.encode, crops.contiguous().numpy())
                hear: Work = partial(hearing.network, mel.numpy())
            else:
                hear = partial(run_inference, hearing.run or hearing.network, mel)
            made[f"resnet50 {runtime} {precision}"] = see
            made[f"whisper {runtime} {precision}"] = hear
    return made


def build_products() -> dict[str, Work]:
    """Build a matrix product for each `product <runtime> <precision>`."""
    a, b = torch.randn(2, MATRIX, MATRIX)
    made: dict[str, Work] = {}
    for precision, kind in zip(PRECISIONS, (torch.float32, torch.bfloat16), strict=True):
        x, y = a.to(kind), b.to(kind)
        made[f"product torch {precision}"] = partial(run_inference, torch.mm, x, y)
        layer = nn.Linear(MATRIX, MATRIX, bias=False).requires_grad_(False)
        model = openvino().convert_model(torch.export.export(layer, (a,)))
        made[f"product openvino {precision}"] = partial(
            OpenVinoBackend(model, InferenceConfig(precision=precision)), a.numpy()
        )
    return made


def count_gflop() -> dict[str, float]:
    """Count the GFLOP of one pass; a multiply-add counts as two."""
    crops, mel = make_inputs()
    torch.backends.mha.set_fastpath_enabled(False)
    found = {"product": 2 * MATRIX**3 / 1e9}
    for name, network, x in (
        ("resnet50", build_visual().encode, crops[:1]),
        ("whisper", build_audio(), mel),
    ):
        # the counter only supports attention as separate matrix products
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            run_inference(network, x)
        found[name] = counter.get_total_flops() / 1e9
    found["resnet50"] *= CROPS
    torch.backends.mha.set_fastpath_enabled(True)
    return found


def make_inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(CROPS, 3, 224, 224), torch.randn(1, 80, 3000)


def build_visual() -> VisualBranch:
    return VisualBranch(VisualConfig(backbone_weights="random")).eval().requires_grad_(False)


def build_audio() -> AudioBranch:
    return AudioBranch(AudioConfig(encoder_weights="random")).eval().requires_grad_(False)


def run_inference(work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return work(*inputs)


def describe_processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    able = " with AMX" if any("amx_bf16" in line for line in lines) else ""
    return f"{len(names)} x {names[0]}{able}" if names else platform.processor()


if __name__ == "__main__":
    main()
