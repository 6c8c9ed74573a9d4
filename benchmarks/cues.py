"""How well single cues predict the addressee in simulated worlds, measured on the ground truth.

    python benchmarks/cues.py [--clips 150] [--presets table ...]

Prints a Markdown table with the area under the ROC curve of each cue for "talking to the wearer",
by turns without back-channels. 0.5 is chance; below it the cue points the other way. The values are
upper bounds for a model that uses one cue.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from scipy.stats import rankdata

from quavf.core.records import WEARER, Array
from quavf.simulate.config import PRESETS, SimulateConfig
from quavf.simulate.conversation import Utterance
from quavf.simulate.scene import measure_face_angles
from quavf.simulate.truth import NOBODY, compute_addressees
from quavf.simulate.world import ClipKey, ClipWorld, draw_world
from quavf.utils.progress import show_progress

SEED = 904
CUES = {
    "yaw": "mean yaw of the face",
    "gaze": "share of the turn that the speaker looks at the wearer",
    "before": "the wearer spoke last",
    "distance": "distance",
}


def list_turns(world: ClipWorld) -> list[Utterance]:
    """All turns of partners, without back-channels."""
    return [u for u in world.conversation.utterances if u.speaker != WEARER and not u.backchannel]


def find_frames(world: ClipWorld, turn: Utterance) -> slice:
    """The frames of a turn: at least one."""
    start = min(round(turn.start_s * float(world.fps)), world.n_frames - 1)
    return slice(start, max(start + 1, round(turn.end_s * float(world.fps))))


def measure_cues(world: ClipWorld, turn: Utterance) -> dict[str, float]:
    """Measure the cues of one turn, signed so that higher should mean addressing the wearer."""
    motion, frames = world.motion, find_frames(world, turn)
    heads, turned = motion.heads[turn.speaker, frames], motion.turns[turn.speaker, frames]
    camera = motion.heads[WEARER, frames]
    sides = [measure_face_angles(h, t, c)[0] for h, t, c in zip(heads, turned, camera, strict=True)]
    floor = world.conversation.find_floor(turn.speaker)
    earlier = [
        u
        for u in world.conversation.utterances
        if u.start_s < turn.start_s
        and not u.backchannel
        and u.speaker != turn.speaker
        and u.speaker in floor
    ]
    return {
        "yaw": -float(np.mean(np.abs(sides))),
        "gaze": float(np.mean(motion.gaze[turn.speaker, frames] == WEARER)),
        "before": float(bool(earlier) and earlier[-1].speaker == WEARER),
        "distance": -float(np.linalg.norm(heads - camera, axis=1).mean()),
    }


def compute_auc(labels: Array, values: Array) -> float:
    """Area under the ROC curve; ties count half (Mann and Whitney)."""
    n = int(labels.sum())
    ranks = rankdata(values)[labels].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(labels) - n)))


def measure_preset(preset: str, n_clips: int) -> dict[str, float]:
    """Measure all figures of one preset."""
    config = SimulateConfig(seed=SEED, preset=preset)
    values: dict[str, list[float]] = defaultdict(list)
    labels: list[bool] = []
    speaking: list[Array] = []
    with show_progress(f"Worlds of {preset}", n_clips) as bar:
        for index in range(n_clips):
            world = draw_world(config, ClipKey(SEED, "train", index))
            speaking.append((compute_addressees(world) != NOBODY).sum(axis=0))
            for turn in list_turns(world):
                labels.append(turn.to_wearer)
                for name, value in measure_cues(world, turn).items():
                    values[name].append(value)
                values["seconds"].append(turn.end_s - turn.start_s)
            bar.advance(n_frames=world.n_frames)
    to_me, seconds = np.array(labels), np.array(values["seconds"])
    at_once = np.concatenate(speaking)
    found = {CUES[name]: compute_auc(to_me, np.array(values[name])) for name in CUES}
    found["speech for the wearer, by time"] = float(seconds[to_me].sum() / seconds.sum())
    found["time with nobody speaking"] = float((at_once == 0).mean())
    found["time with several speaking"] = float((at_once > 1).mean())
    return found | {"turns": float(len(labels))}


def main() -> None:
    """Measure all presets and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clips", type=int, default=150, help="clips of 30 s per preset")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    options = parser.parse_args()
    found = {preset: measure_preset(preset, options.clips) for preset in options.presets}
    print(f"| | {' | '.join(found)} |")
    print("|---|" + "---|" * len(found))
    for name in next(iter(found.values())):
        digits = 0 if name == "turns" else 2
        cells = " | ".join(f"{figures[name]:.{digits}f}" for figures in found.values())
        print(f"| {name} | {cells} |")


if __name__ == "__main__":
    main()
