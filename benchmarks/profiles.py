"""Profile prepare, predict and run: docs/experiments/profile.png.

    python benchmarks/profiles.py --faces A.mp4 B.mp4 [--out docs/experiments/profile.png]

Samples the stacks of all threads a hundred times per second, and attributes each sample to the
innermost function listed in `PARTS`; waiting threads are ignored. Uses 1080p videos (`prepare`,
`run`), and a simulated clip with networks of the published size (`predict`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

import measures
import runtimes
from quavf.inference.audio import AudioPredictor
from quavf.inference.config import InferenceConfig
from quavf.inference.visual import VisualPredictor
from quavf.workflows.config import RunConfig
from quavf.workflows.prepare import prepare_ego4d
from quavf.workflows.run import Pipeline

INTERVAL_S = 0.01
WAITING = {"wait", "_wait_for_tstate_lock", "select", "acquire", "result", "get", "_worker"}
PARTS = {  # by function name
    "decode": "decoding",
    "_decode_timed": "decoding",
    "read_sound": "sound",
    "add_sound": "sound",
    "bgr": "cutting, resizing",
    "render_crop": "cutting, resizing",
    "encode_jpeg": "JPEG",
    "decode_jpeg": "JPEG",
    "normalised": "to tensors",
    "face_part": "to tensors",
    "add_crop": "writing",
    "finish": "writing",
    "detect": "face detector",
    "grey": "camera motion",
    "estimate_shift": "camera motion",
    "sketch": "camera cuts",
    "track_persons": "tracking",
    "describe_appearance": "tracking",
    "encode": "image network",
    "_classify": "temporal attention",
    "log_mel": "spectrum",
    "score_quality": "quality",
    "write_annotated_video": "annotated video",
    "write_report": "report",
}
AUDIO = "_run_network"  # of AudioPredictor: everything it calls except log_mel is the network


def sample_stacks(work: Callable[[], object]) -> dict[str, float]:
    """Run `work` and return its thread time by part, in seconds."""
    counts: Counter[str] = Counter()
    done = threading.Event()

    def sample() -> None:
        own = threading.get_ident()
        while not done.wait(INTERVAL_S):
            for thread, frame in sys._current_frames().items():
                part = None if thread == own else find_part(frame)
                if part:
                    counts[part] += 1

    watcher = threading.Thread(target=sample, daemon=True)
    start = time.perf_counter()
    watcher.start()
    work()
    taken = time.perf_counter() - start
    done.set()
    watcher.join()
    return {part: n * taken / sum(counts.values()) for part, n in counts.most_common()}


def find_part(frame: FrameType | None) -> str | None:
    """Find the part that a stack belongs to; None while it waits."""
    if frame is not None and frame.f_code.co_name in WAITING:
        return None
    while frame is not None:
        name = frame.f_code.co_name
        if name in PARTS:
            return PARTS[name]
        if name == AUDIO:
            return "audio network"
        frame = frame.f_back
    return "other"


def draw_profiles(profiles: dict[str, dict[str, float]], path: Path) -> None:
    figure, axes = plt.subplots(1, len(profiles), figsize=(12, 4.2), layout="constrained")
    for axis, (title, parts) in zip(axes, profiles.items(), strict=True):
        total = sum(parts.values())
        shown = {part: s for part, s in parts.items() if s > 0.01 * total}
        shown["the rest"] = total - sum(shown.values())
        names, values = list(shown), [100 * s / total for s in shown.values()]
        bars = axis.barh(names[::-1], values[::-1], color="#3b6ea5")
        axis.bar_label(bars, fmt="%.0f %%", padding=3)
        axis.set_title(title)
        axis.set_xlim(0, max(values) * 1.25)
        axis.xaxis.set_visible(False)
        axis.spines[:].set_visible(False)
        axis.tick_params(left=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="Profile prepare, predict and run.")
    parser.add_argument(
        "--faces", nargs=2, type=Path, required=True, help="videos of two talking heads"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/experiments/profile.png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = measures.Setup(Path(folder), 1, options.faces)
        draw_profiles(measure_profiles(setup), options.out)


def measure_profiles(setup: measures.Setup) -> dict[str, dict[str, float]]:
    (root, _), video = setup.dataset_1080p, setup.video_of_faces
    hearing = AudioPredictor(
        runtimes.build_audio(), InferenceConfig(device="cpu", audio_batch_size=1)
    )
    seeing = VisualPredictor(runtimes.build_visual(), scorer="light")
    pipeline = Pipeline(RunConfig())

    def predict() -> None:
        hearing.score_faces(setup.clip)
        seeing.score_faces(setup.clip)

    setup.clip  # noqa: B018  # create it before timing starts
    return {
        "prepare (1080p, three faces)": sample_stacks(
            lambda: prepare_ego4d(root / "annotations", root / "clips", root / "store")
        ),
        "predict (published size)": sample_stacks(predict),
        "run (1080p, two faces, small)": sample_stacks(
            lambda: pipeline.run(video, setup.folder / "out")
        ),
    }


if __name__ == "__main__":
    main()
