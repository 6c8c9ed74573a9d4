"""Tune and check the settings of moments for bundled weights, on simulated clips.

    python benchmarks/moments.py --work DIR [--tune table:81 table:82 clean:83 clean:84]
        [--check table:91 clean:92] [--clips 2] [--seconds 30] [--weights small] [--out FILE.json]

Simulates every world (preset:seed) and runs it as raw video. Every score, ten per second and
person, is compared with the truth: it should lie in a moment if and only if the person addresses
the wearer or everybody at that time. Time without a detected face is ignored. Settings are chosen
on the first worlds and checked on the others. Everything is repeated with known speakers: scores
count as 0 while the person is silent.
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
from raw_faces import match_boxes

STEP_S = 0.1  # between two scores of a run
THRESHOLDS = tuple(np.round(np.arange(0.3, 0.76, 0.05), 2).tolist())
MARGINS, GAPS_S, LENGTHS_S = (0.0, 0.05, 0.1, 0.15), (0.2, 0.5, 1.0, 2.0), (0.5, 1.0, 2.0)
SIDES = ("x1", "y1", "x2", "y2")
STATES = {  # of a person: speaks to the wearer, speaks, looks at the wearer
    "talks to the wearer": (True, True, None),
    "talks to others": (False, True, None),
    "is silent and looks at the wearer": (False, False, True),
    "is silent and looks elsewhere": (False, False, False),
}


@dataclass(frozen=True)
class ScoredTrack:
    """Scores of one raw track with the truth of the matching face; columns (N,)."""

    time_s: Floats
    fused: Floats
    to_wearer: Array  # speaks to the wearer or to everybody
    speaking: Array
    at_wearer: Array  # the person looks at the wearer


def match_tracks(result: VideoResult, truth: dict[str, Array]) -> list[ScoredTrack]:
    """Match the tracks of one run with the truth. Without a matching face, nobody talks."""
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
        for i, j in match_boxes(boxes[own], found):
            person, k = raw[j]
            rows[person][k] = own[i]
    tracks = []
    for person, own in rows.items():
        gaze = truth["gaze"] == WEARER
        said = (truth["to_wearer"], truth["speaking"], gaze)
        columns = (np.where(own >= 0, column[own], False) for column in said)
        scores = result.scores[person]
        tracks.append(ScoredTrack(scores.time_s, scores.fused, *columns))
    return tracks


def score_moments(
    tracks: Sequence[ScoredTrack], config: MomentsConfig, gated: bool = False
) -> dict[str, float]:
    """F1, precision and recall by time over all tracks; `gated`: with known speakers."""
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


def summarise_states(tracks: Sequence[ScoredTrack]) -> dict[str, list[float]]:
    """Number of scores in each state, and their 10th, 50th and 90th percentile."""
    if not tracks:
        return {}
    columns = {n: np.concatenate([getattr(t, n) for t in tracks]) for n in vars(tracks[0])}
    rows = {}
    for name, (to_wearer, speaking, at_wearer) in STATES.items():
        here = (columns["to_wearer"] == to_wearer) & (columns["speaking"] == speaking)
        if at_wearer is not None:
            here &= columns["at_wearer"] == at_wearer
        if here.any():
            middle = np.nanquantile(columns["fused"][here], [0.1, 0.5, 0.9])
            rows[name] = [int(here.sum()), *middle.round(3).tolist()]
    return rows


def choose_config(tracks: Sequence[ScoredTrack], gated: bool = False) -> MomentsConfig:
    """Choose the settings with the highest F1."""
    grid = product(THRESHOLDS, MARGINS, GAPS_S, LENGTHS_S)
    configs = [MomentsConfig(t, m, max_gap=g, min_length=s) for t, m, g, s in grid]
    return max(configs, key=lambda config: score_moments(tracks, config, gated)["f1"])


def run_world(world: str, options: argparse.Namespace, pipeline: Pipeline) -> list[ScoredTrack]:
    """Simulate and run the missing clips of one world; return the tracks of all clips."""
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
        tracks += match_tracks(result, truth)
    return tracks


def compute_figures(parts: dict[str, list[ScoredTrack]]) -> dict[str, Any]:
    """Compute all figures by part; settings are chosen on the part `tune`."""
    content: dict[str, Any] = {
        name: {"states": summarise_states(own)} for name, own in parts.items()
    }
    for way, gated in (("scores alone", False), ("with who speaks known", True)):
        chosen = choose_config(parts["tune"], gated)
        content[f"best {way}"] = asdict(chosen)
        for name, own in parts.items():
            content[name][way] = {
                "best": score_moments(own, chosen, gated),
                **{f"{t}": score_moments(own, MomentsConfig(t), gated) for t in THRESHOLDS},
            }
    return content


def print_figures(content: dict[str, Any], parts: Sequence[str]) -> None:
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
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and runs")
    worlds = ["table:81", "table:82", "clean:83", "clean:84"]
    parser.add_argument(
        "--tune", nargs="+", default=worlds, help="worlds (preset:seed) to choose settings on"
    )
    parser.add_argument(
        "--check", nargs="+", default=["table:91", "clean:92"], help="worlds to check them on"
    )
    parser.add_argument("--clips", type=int, default=2, help="clips per world (2)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a clip (30)")
    parser.add_argument("--weights", default="small", help="name of bundled weights (small)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    plain = RunConfig(weights=options.weights, annotated=False, report=False)
    pipeline = Pipeline(plain)
    by_world = {
        world: run_world(world, options, pipeline) for world in [*options.tune, *options.check]
    }
    parts = {"tune": [t for w in options.tune for t in by_world[w]]}
    for preset in dict.fromkeys(w.partition(":")[0] for w in options.tune):
        own = [w for w in options.tune if w.startswith(f"{preset}:")]
        parts[f"tune, {preset}"] = [t for w in own for t in by_world[w]]
    parts["check"] = [t for w in options.check for t in by_world[w]]
    content = compute_figures(parts)
    print_figures(content, list(parts))
    if options.out:
        write_json(options.out, content)


if __name__ == "__main__":
    main()
