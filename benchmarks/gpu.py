"""The rows of `bench.py` that need a CUDA GPU, compared with the CPU of the same machine.

Networks have the published sizes and random weights. Inputs lie in the device's memory, so that the
rows of encoding and training leave out decoding; the row of raw video has everything.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import run_video
import runtimes
from measures import Measured, Setup, UnavailableError
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import run_branch

GPU = "cuda"
CROPS = 256  # a batch on the GPU; on the CPU, as in `quavf predict`
WINDOWS = 16  # of 30 s
SECONDS = 2.0  # each measurement repeats its work for this long
TRAINED = {"audio": 8, "visual": 16}  # samples in a batch of training


def measure_encoding(network: str, setup: Setup) -> Measured:
    """Crops or windows of sound a second, fp32 against fp32; the note has bf16."""
    require_gpu()
    rates = {
        (device, precision): build_encoding(network, device, precision)
        for device, precision in ((GPU, "fp32"), (GPU, "bf16"), ("cpu", "fp32"))
    }
    return _compare(rates, setup.rounds, "crops" if network == "resnet50" else "windows of 30 s")


def build_encoding(network: str, device: str, precision: str) -> tuple[Callable[[], Any], int]:
    """One pass of a network as `quavf predict` runs it, and how many inputs it has."""
    how = InferenceConfig(runtime="torch", precision=precision, device=device)
    model: Any
    if network == "resnet50":
        model = run_branch(runtimes.build_visual(), how)
        n = CROPS if device == GPU else runtimes.CROPS
        crops = torch.randn(n, 3, 224, 224, device=device)
        crops = crops.contiguous(memory_format=torch.channels_last)
        return partial(model.encode, crops), n
    model = run_branch(runtimes.build_audio(), how)
    n = WINDOWS if device == GPU else 1
    mel = torch.randn(n, 80, 3000, device=device)
    return partial(runtimes.run_inference, model.run or model.network, mel), n


def measure_training(branch: str, setup: Setup) -> Measured:
    """Samples a second of whole training steps, fp32 against fp32; the note has mixed bf16."""
    require_gpu()
    works = {
        (device, precision): (build_step(branch, device, precision), TRAINED[branch])
        for device, precision in ((GPU, "fp32"), (GPU, "bf16"), ("cpu", "fp32"))
    }
    return _compare(works, setup.rounds, "samples")


def build_step(branch: str, device: str, precision: str) -> Callable[[], Any]:
    """Forward, backward and AdamW on one batch of noise."""
    network: nn.Module
    n = TRAINED[branch]
    inputs: tuple[Tensor, ...]
    if branch == "audio":
        network, inputs = runtimes.build_audio(), (torch.randn(n, 80, 3000, device=device),)
    else:
        network = runtimes.build_visual()
        crops = torch.randn(n, 15, 3, 224, 224, device=device)
        inputs = crops, torch.rand(n, device=device)
    network = network.requires_grad_(True).train().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-5)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            logits = network(*inputs)
            flat = logits.float().transpose(1, -1).reshape(-1, 2)
            loss = F.cross_entropy(flat, torch.zeros(len(flat), dtype=torch.long, device=device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def measure_video(setup: Setup) -> Measured:
    """Speed on raw video, branches of the published size, everything but the outputs."""
    require_gpu()
    path = setup.video_of_faces
    speeds, parts = [], {}
    for device in (GPU, "cpu"):
        config = InferenceConfig(runtime="torch", device=device)
        with tempfile.TemporaryDirectory() as name:
            watch, duration_s, _ = run_video.measure_stages(path, Path(name), "published", config)
        used = {k: v for k, v in watch.wall.items() if k not in run_video.EXCLUDED}
        speeds.append(duration_s / sum(used.values()))
        parts[device] = ", ".join(
            f"{k} {v / duration_s:.3f}" for k, v in used.items() if k in ("audio", "visual")
        )
    note = (
        f"{1 / speeds[0]:.3f} and {1 / speeds[1]:.3f} s/s (branches {parts[GPU]}; {parts['cpu']})"
    )
    return [speeds[0] / speeds[1]], f"{note}; {describe_gpu()}"


def _compare(
    works: dict[tuple[str, str], tuple[Callable[[], Any], int]], rounds: int, unit: str
) -> Measured:
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for key, (work, n) in works.items():
        work()
        rates[key] = [measure_rate(work, n) for _ in range(rounds)]
    middle = {key: runtimes.summarise(values)["median"] for key, values in rates.items()}
    base = middle["cpu", "fp32"]
    note = (
        f"{middle[GPU, 'fp32']:,.0f} {unit} a second in fp32 and {middle[GPU, 'bf16']:,.0f} in bf16"
        f" ({middle[GPU, 'bf16'] / base:.0f} times), CPU {base:,.1f}; {describe_gpu()}"
    )
    return [rate / base for rate in rates[GPU, "fp32"]], note


def measure_rate(work: Callable[[], Any], n: int) -> float:
    """Inputs a second: `work` on n inputs, again and again."""
    torch.cuda.synchronize()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        work()
        torch.cuda.synchronize()
        done += n
    return done / (time.perf_counter() - start)


def require_gpu() -> None:
    """Raise UnavailableError on a machine without a CUDA GPU."""
    if not torch.cuda.is_available():
        raise UnavailableError("needs a CUDA GPU")


def describe_gpu() -> str:
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
