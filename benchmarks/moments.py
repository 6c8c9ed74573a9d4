"""How the moments of the shipped weights depend on their settings, in time, on simulated clips.

    python benchmarks/moments.py --work DIR [--tune table:81 table:82 clean:83 clean:84]
        [--check table:91 clean:92] [--clips 2] [--seconds 30] [--weights small] [--out FILE.json]

Every world (preset:seed) is simulated and run as raw video. Judged is each tenth of a second in
which a person is scored: whether it lies in a moment of that person, against whether what the
person says then is addressed to the wearer or to everybody. Time in which the face is not found is
not judged. Settings are chosen on the first worlds and checked on the others. Once more with the
knowledge of who speaks: scores count as 0 while the person is silent.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from quavf.core.records import WEARER, Array, Floats
from quavf.results.config import MomentsConfig
from quavf.results.moments import find_moments
from quavf.results.video import VideoResult
from quavf.simulate.config import SimulateConfig
from quavf.utils.files import write_json
from quavf.workflows.config import RunConfig
from quavf.workflows.run import Pipeline
from quavf.workflows.simulate import list_clip_keys, simulate_clips
from raw_faces import matched

STEP_S = 0.1  # between two scores of a run
THRESHOLDS = tuple(np.round(np.arange(0.3, 0.76, 0.05), 2).tolist())
MARGINS, GAPS_S, LENGTHS_S = (0.0, 0.05, 0.1, 0.15), (0.2, 0.5, 1.0, 2.0), (0.5, 1.0, 2.0)
SIDES = ("x1", "y1", "x2", "y2")
DOINGS = {  # what a person does at a time: speaks to the wearer, speaks, looks at the wearer
    "talks to the wearer": (True, True, None),
    "talks to others": (False, True, None),
    "is silent and looks at the wearer": (False, False, True),
    "is silent and looks elsewhere": (False, False, False),
}


@dataclass(frozen=True)
class Scored:
    """One raw track's scores and what is true of the face below them; columns (N,)."""

    time_s: Floats
    fused: Floats
    to_wearer: Array  # what the person says is addressed to the wearer or to everybody
    speaking: Array
    at_wearer: Array  # the person looks at the wearer


def scored_tracks(result: VideoResult, truth: dict[str, Array]) -> list[Scored]:
    """The tracks of one run beside the truth table's columns; where no face is, nobody talks."""
    width, height = result.frame_size
    boxes = np.stack([truth[side] for side in SIDES], axis=1).astype(float)
    boxes = np.clip(boxes, 0, [width, height] * 2)
    rows_at = {int(f): np.flatnonzero(truth["frame"] == f) for f in np.unique(truth["frame"])}
    frames = {p: np.round(own.time_s * 30).astype(int) for p, own in result.scores.items()}
    rows = {p: np.full(len(own), -1) for p, own in frames.items()}
    for frame in np.unique(np.concatenate([*frames.values(), np.empty(0, int)])).tolist():
        own = rows_at.get(frame, np.empty(0, int))
        raw = [(p, k) for p, at in frames.items() for k in np.flatnonzero(at == frame).tolist()]
        found = np.array([result.scores[p].box[k] for p, k in raw])
        for i, j in matched(boxes[own], found):
            person, k = raw[j]
            rows[person][k] = own[i]
    tracks = []
    for person, own in rows.items():
        gaze = truth["gaze"] == WEARER
        said = (truth["to_wearer"], truth["speaking"], gaze)
        columns = (np.where(own >= 0, column[own], False) for column in said)
        scores = result.scores[person]
        tracks.append(Scored(scores.time_s, scores.fused, *columns))
    return tracks


def judge(tracks: Sequence[Scored], config: MomentsConfig, gated: bool = False) -> dict[str, float]:
    """F1, precision and recall of time, of all tracks together; `gated`: with who speaks known."""
    right = wrong = missed = 0
    for track in tracks:
        scores = np.where(track.speaking, track.fused, 0.0) if gated else track.fused
        inside = np.zeros(len(scores), bool)
        for m in find_moments(1, track.time_s, scores, STEP_S, config):
            inside |= (track.time_s >= m.start_s - 1e-6) & (track.time_s < m.end_s - 1e-6)
        right += int((inside & track.to_wearer).sum())
        wrong += int((inside & ~track.to_wearer).sum())
        missed += int((~inside & track.to_wearer).sum())
    return {
        "f1": 2 * right / max(2 * right + wrong + missed, 1),
        "precision": right / max(right + wrong, 1),
        "recall": right / max(right + missed, 1),
    }


def states(tracks: Sequence[Scored]) -> dict[str, list[float]]:
    """By what a person does: how many scores, and their 10th, 50th and 90th percentile."""
    if not tracks:
        return {}
    columns = {n: np.concatenate([getattr(t, n) for t in tracks]) for n in vars(tracks[0])}
    rows = {}
    for name, (to_wearer, speaking, at_wearer) in DOINGS.items():
        here = (columns["to_wearer"] == to_wearer) & (columns["speaking"] == speaking)
        if at_wearer is not None:
            here &= columns["at_wearer"] == at_wearer
        if here.any():
            middle = np.nanquantile(columns["fused"][here], [0.1, 0.5, 0.9])
            rows[name] = [int(here.sum()), *middle.round(3).tolist()]
    return rows


def best(tracks: Sequence[Scored], gated: bool = False) -> MomentsConfig:
    """The settings of the highest F1."""
    grid = product(THRESHOLDS, MARGINS, GAPS_S, LENGTHS_S)
    configs = [MomentsConfig(t, m, max_gap=g, min_length=s) for t, m, g, s in grid]
    return max(configs, key=lambda config: judge(tracks, config, gated)["f1"])


def run_world(world: str, options: argparse.Namespace, pipeline: Pipeline) -> list[Scored]:
    """Simulate and run the clips of one world, where that is not done yet; their tracks."""
    preset, _, seed = world.partition(":")
    data = options.work / f"{preset}-{seed}"
    config = SimulateConfig(
        seed=int(seed), clips=options.clips, seconds=options.seconds, preset=preset,
        val_share=0.5, test_share=0.0,
    )  # fmt: skip
    simulate_clips(data, config, progress=True)
    tracks = []
    for key in list_clip_keys(config):
        video = data / "clips" / f"{key.name}.mp4"
        result = pipeline.run(video, options.work / "runs" / f"{preset}-{key.name}").result
        table = pq.read_table(data / "truth" / f"{key.name}.parquet")
        truth = {name: table[name].to_numpy() for name in table.column_names}
        tracks += scored_tracks(result, truth)
    return tracks


def figures(parts: dict[str, list[Scored]]) -> dict[str, Any]:
    """Everything, by part; settings are chosen on the part `tune`."""
    content: dict[str, Any] = {name: {"states": states(own)} for name, own in parts.items()}
    for way, gated in (("scores alone", False), ("with who speaks known", True)):
        chosen = best(parts["tune"], gated)
        content[f"best {way}"] = asdict(chosen)
        for name, own in parts.items():
            content[name][way] = {
                "best": judge(own, chosen, gated),
                **{f"{t}": judge(own, MomentsConfig(t), gated) for t in THRESHOLDS},
            }
    return content


def show(content: dict[str, Any], parts: Sequence[str]) -> None:
    for name in parts:
        print(f"{name}:")
        for state, (n, *middle) in content[name]["states"].items():
            print(f"  {state:<40} n {n:<6} 10/50/90 % {middle}")
        for way in ("scores alone", "with who speaks known"):
            print(f"  {way}; best on tune: {content[f'best {way}']}")
            for threshold, found in content[name][way].items():
                values = "  ".join(f"{key} {value:.3f}" for key, value in found.items())
                print(f"    {threshold:>5}  {values}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True, help="folder of clips and runs")
    worlds = ["table:81", "table:82", "clean:83", "clean:84"]
    parser.add_argument("--tune", nargs="+", default=worlds, help="worlds, preset:seed")
    parser.add_argument("--check", nargs="+", default=["table:91", "clean:92"])
    parser.add_argument("--clips", type=int, default=2, help="of each world (2)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a clip (30)")
    parser.add_argument("--weights", default="small", help="name of shipped weights (small)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    plain = RunConfig(audio=options.weights, visual=options.weights, annotated=False, report=False)
    pipeline = Pipeline(plain)
    by_world = {
        world: run_world(world, options, pipeline) for world in [*options.tune, *options.check]
    }
    parts = {"tune": [t for w in options.tune for t in by_world[w]]}
    for preset in dict.fromkeys(w.partition(":")[0] for w in options.tune):
        own = [w for w in options.tune if w.startswith(f"{preset}:")]
        parts[f"tune, {preset}"] = [t for w in own for t in by_world[w]]
    parts["check"] = [t for w in options.check for t in by_world[w]]
    content = figures(parts)
    show(content, list(parts))
    if options.out:
        write_json(options.out, content)


if __name__ == "__main__":
    main()
