"""Time per clip and peak memory for growing data sets, one process for each size.

    python benchmarks/growth.py [--sizes 10 1000]

Clips last one second (320 x 180, 30 fps, sound, two annotated people), each in its own file. The
visual branch is tiny and has random weights, so the figures show everything but the networks. Each
size runs prepare, quality, predict and evaluate. Prints the time per clip and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

import run_video
from quavf.inference.config import PredictConfig
from quavf.models.checkpoint import save_branch
from quavf.models.config import BranchSettings, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.workflows.evaluate import evaluate
from quavf.workflows.predict import predict
from quavf.workflows.prepare import prepare_ego4d
from quavf.workflows.quality import score_quality

SIZES = (10, 1000)
FRAMES = 30
SIZE = 320, 180


def measure(sizes: tuple[int, int] = SIZES) -> dict[str, Any]:
    """Measure each size: seconds per clip by stage, and peak memory in MB."""
    found = {}
    for n_clips in sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_data(Path(folder), n_clips)
            words = [sys.executable, __file__, "--data", folder]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            found[str(n_clips)] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_data(root: Path, n_clips: int) -> None:
    """Write annotations and copies of one second of video."""
    (root / "clips").mkdir(parents=True)
    (root / "annotations").mkdir()
    first = root / "clips" / "clip0.mp4"
    write_clip(first)
    for k in range(1, n_clips):
        (root / "clips" / f"clip{k}.mp4").write_bytes(first.read_bytes())
    clips = [
        build_annotation(f"clip{k}", FRAMES, [(20, 30, 60), (150, 40, 80)]) for k in range(n_clips)
    ]
    write_annotations(root / "annotations", clips)


def write_annotations(folder: Path, clips: list[dict[str, Any]]) -> None:
    for split, own in (("train", []), ("val", clips)):
        content = {"videos": [{"video_uid": "v", "clips": own}]}
        (folder / f"av_{split}.json").write_text(json.dumps(content))


def build_annotation(uid: str, n_frames: int, faces: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Build an Ego4D clip in which everybody talks, with static `faces` (x, y, side)."""
    persons = [{"person_id": "0", "camera_wearer": True, "tracking_paths": []}]
    talking = []
    for number, (x, y, side) in enumerate(faces, 1):
        rows = [
            {"frame": k, "x": x, "y": y, "width": side, "height": side} for k in range(n_frames)
        ]
        track = {"track_id": str(number), "track": rows}
        persons.append(
            {"person_id": str(number), "camera_wearer": False, "tracking_paths": [track]}
        )
        frames = {"start_frame": 0, "end_frame": n_frames - 1}
        target = "0" if number % 2 else None
        talking.append({"person": str(number), "target": target, "is_at_me": False, **frames})
    return {"clip_uid": uid, "persons": persons, "social_segments_talking": talking}


def write_clip(path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        for k in range(FRAMES):
            moved = np.roll(picture, 3 * k, axis=1)
            container.mux(video.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(video.encode())
        run_video.add_sound(container, sound, rng.normal(0, 0.1, 16_000).astype(np.float32))


def run_stages(root: Path) -> dict[str, Any]:
    """Run all stages on one data set in this process."""
    torch.manual_seed(0)
    model = root / "visual.safetensors"
    config = VisualConfig("test_resnet", "random", dim=64, size=64)
    save_branch(model, VisualBranch(config, BranchSettings("fixed")))
    store, scores = root / "store", root / "scores"
    stages = {
        "prepare": lambda: prepare_ego4d(root / "annotations", root / "clips", store),
        "quality": lambda: score_quality(store),
        "predict": lambda: predict(store, scores, None, model, PredictConfig(device="cpu")),
        "evaluate": lambda: evaluate(scores, store, root / "evaluation"),
    }
    n_clips = len(list((root / "clips").iterdir()))
    found: dict[str, Any] = {"s_a_clip": {}}
    for name, stage in stages.items():
        start = time.perf_counter()
        stage()  # type: ignore[no-untyped-call]
        found["s_a_clip"][name] = (time.perf_counter() - start) / n_clips
    status = Path("/proc/self/status").read_text()  # rusage would include the parent's memory
    found["peak_mb"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory for growing data sets.")
    parser.add_argument("--sizes", nargs=2, type=int, default=SIZES)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data:
        print(json.dumps(run_stages(options.data)))
        return
    for size, found in measure(tuple(options.sizes)).items():
        stages = ", ".join(f"{name} {s * 1000:.1f}" for name, s in found["s_a_clip"].items())
        print(f"{size} clips: ms a clip: {stages}; peak memory {found['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
