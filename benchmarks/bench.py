"""Measure all figures of docs/experiments/performance.md: `make bench`.

    python benchmarks/bench.py [--rows NAME ...] [--rounds 3] [--faces A.mp4 B.mp4]

Every row is a ratio, or a share of a ceiling measured in the same round, given as median and range
over rounds. Measured rows replace their values in `benchmarks/results.json`; the others stay. Then
the table in docs/experiments/performance.md is rewritten. The rows about raw video need `--faces`:
two videos of one talking head each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

import gpu
import measures
import runtimes

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "experiments" / "performance.md"
BEGIN, END = "<!-- figures: make bench -->", "<!-- end of the figures -->"


@dataclass(frozen=True)
class Row:
    """One figure: its description, its lower or upper bound, and the function that measures it."""

    what: str
    compared: str
    bound: str
    measure: Callable[[measures.Setup], measures.Measured]

    def is_met(self, value: float) -> bool:
        sign, limit = self.bound.split()
        return value >= float(limit) if sign == "≥" else value <= float(limit)


ROWS = {
    "visual_vs_windowed": Row(
        "ResNet-50 prediction a frame, each crop encoded once",
        "window-by-window encoding, both eager torch, fp32",
        "≥ 14.5",
        measures.measure_visual_vs_windowed,
    ),
    "visual_fast_vs_windowed": Row(
        "the same in OpenVINO, bf16",
        "window-by-window encoding in eager torch, fp32",
        "≥ 40",
        measures.measure_visual_fast_vs_windowed,
    ),
    "encode_share_fp32": Row(
        "crop encoding inside `predict`, JPEG decoding included; the faster runtime, fp32",
        "the fastest large matrix product",
        "≥ 0.85",
        lambda setup: measures.measure_encode_share(setup, "fp32"),
    ),
    "encode_share_bf16": Row(
        "the same in bf16",
        "the fastest large matrix product, bf16",
        "≥ 0.85",
        lambda setup: measures.measure_encode_share(setup, "bf16"),
    ),
    "whisper_share_bf16": Row(
        "audio prediction, Whisper small, OpenVINO, bf16, spectra included",
        "the fastest large matrix product, bf16",
        "≥ 0.80",
        measures.measure_whisper_share,
    ),
    "prepare_over_decode": Row(
        "pictures a second of `prepare`, 1080p, three faces",
        "decoding alone",
        "≥ 0.7",
        measures.measure_prepare_over_decode,
    ),
    "run_small": Row(
        "raw video, two faces, 1080p30, small branches: seconds a second, without annotated.mp4",
        "real time",
        "≤ 1.0",
        lambda setup: measures.measure_run(setup, "small"),
    ),
    "run_full": Row(
        "the same with branches of the published size at 10 Hz, OpenVINO, bf16",
        "real time",
        "≤ 1.0",
        lambda setup: measures.measure_run(setup, "published"),
    ),
    "run_talk": Row(
        "`quavf run` with its default weights, two faces, 1080p30, without annotated.mp4: seconds "
        "of the whole command a second",
        "real time",
        "≤ 0.4",
        measures.measure_command,
    ),
    "annotated": Row(
        "what annotated.mp4 adds to it: seconds a second",
        "real time",
        "≤ 0.2",
        measures.measure_annotated,
    ),
    "ray_2_workers": Row(
        "simulating a store on a Ray cluster of two workers",
        "one worker",
        "≥ 1.8",
        measures.measure_ray_2_workers,
    ),
    "growth": Row(
        "seconds a clip of prepare, quality, predict and evaluate at 1,000 clips",
        "the same at 10 clips",
        "≤ 1.1",
        measures.measure_growth,
    ),
    "cached_epoch_speedup": Row(
        "a later epoch of training by cached features, validation included, networks of the "
        "published sizes; the branch that gains less",
        "the same epoch without a cache",
        "≥ 10",
        measures.measure_cached_epoch,
    ),
    "rss_1h_gb": Row(
        "peak memory of `quavf run` on an hour of 1080p30 with two faces, GB",
        "none",
        "≤ 0.8",
        measures.measure_hour,
    ),
    "gpu_crops": Row(
        "crops a second, ResNet-50 on a GPU, fp32",
        "the same machine's CPU, both torch",
        "≥ 1",
        partial(gpu.measure_encoding, "resnet50"),
    ),
    "gpu_whisper": Row(
        "windows of sound a second, Whisper small on a GPU, fp32",
        "the same machine's CPU, both torch",
        "≥ 1",
        partial(gpu.measure_encoding, "whisper"),
    ),
    "gpu_train_visual": Row(
        "samples a second of visual training steps on a GPU, fp32, published size",
        "the same machine's CPU",
        "≥ 1",
        partial(gpu.measure_training, "visual"),
    ),
    "gpu_train_audio": Row(
        "samples a second of audio training steps on a GPU, fp32, published size",
        "the same machine's CPU",
        "≥ 1",
        partial(gpu.measure_training, "audio"),
    ),
    "gpu_run": Row(
        "raw video, two faces, 1080p30, branches of the published size on a GPU: speed",
        "the same machine's CPU, both torch, fp32",
        "≥ 1",
        gpu.measure_video,
    ),
}
SLOW = ("rss_1h_gb",)  # measured only when named


def main() -> None:
    parser = argparse.ArgumentParser(description="The figures of docs/experiments/performance.md.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="default: all but the slow ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faces", nargs=2, type=Path, help="videos of two talking heads")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        setup = measures.Setup(Path(folder), options.rounds, options.faces)
        for name in options.rows or [name for name in ROWS if name not in SLOW]:
            print(f"{name} ...", file=sys.stderr)
            try:
                values, note = ROWS[name].measure(setup)
            except measures.UnavailableError as reason:
                print(f"  not measured: {reason}", file=sys.stderr)
                continue
            results[name] = describe_result(values, note)
            RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
            print(f"{name}: {results[name]['median']:.3g} {note}")
    write_page(results)


def describe_result(values: list[float], note: str) -> dict[str, Any]:
    return {
        **runtimes.summarise(values),
        "rounds": len(values),
        "note": note,
        "machine": runtimes.describe_processor(),
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
    }


def write_page(results: dict[str, Any]) -> None:
    """Replace the table between the two markers."""
    lines = [BEGIN, "", "| figure | what | compared with | median (spread) | aim | |"]
    lines += ["|---|---|---|---|---|---|"]
    notes, machines = [], set()
    for name, row in ROWS.items():
        value, verdict = "not measured", ""
        if found := results.get(name):
            value = f"**{found['median']:.3g}**"
            if found["rounds"] > 1:
                value += f" ({found['lowest']:.3g} – {found['highest']:.3g})"
            verdict = "met" if row.is_met(found["median"]) else "missed"
            machines.add(f"{found['machine']}, {found['date']}")
            notes += [f"- `{name}`: {found['note']}"] if found["note"] else []
        lines.append(
            f"| `{name}` | {row.what} | {row.compared} | {value} | {row.bound} | {verdict} |"
        )
    lines += ["", f"Measured on: {'; '.join(sorted(machines)) or 'nothing yet'}.", "", *notes, ""]
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + "\n".join(lines) + END + after)


if __name__ == "__main__":
    main()
