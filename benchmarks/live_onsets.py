"""Measure the events of live sessions: how soon and how often they are right.

    python benchmarks/live_onsets.py labels --clips FOLDER --out OUT   real clips with hand labels
    python benchmarks/live_onsets.py simulated --stores STORE ...      rendered conversations

FOLDER holds clips and a `labels.json` with people, boxes and segments; OUT gets a folder a clip, as
`quavf run` writes it, with `events.json`. A STORE is made by `quavf prepare simulated` and `quavf
cues`; its faces are the true ones, so that nothing is said of finding them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from live import LOOK_AHEADS, open_pipeline
from quavf.core.records import Array, Ints
from quavf.cues.grid import CONFIDENCE, RATE, SIZE, CueGrid, X, Y, build_grid, count_ticks
from quavf.live.config import LiveConfig
from quavf.live.events import LiveEvent
from quavf.live.feed import FileFeed
from quavf.live.judge import TickScores
from quavf.live.people import SeenFace
from quavf.live.states import States
from quavf.sources.media.file import open_video_file
from quavf.store.clips import ClipStore
from quavf.workflows.run import Pipeline

REORDER_S = 2 / 30  # that a picture waits for the next one, at most; in all delays
PICTURE = 1920, 1080  # px, in which simulated faces are; any will do
FLOOR_S = 0.8  # within which an onset should be known
BEFORE_S = 0.25  # by which labels of onsets may be late
HELD_S = 0.5  # that an event must go on after an onset to count for it
READ_TURN, READ_SHARE = 0.8, 0.3  # of a turn, of a clip, in which the mesh must read the face


@dataclass
class Onsets:
    """What became of the onsets of speech to the wearer."""

    delays: list[float] = field(default_factory=list)  # s, until `addressed` was known
    on_already: int = 0  # an event was on, and stayed on
    missed: int = 0
    unread: int = 0  # the mesh could not read the face; not judged

    def note(self, events: list[LiveEvent], onset: float, end: float, late_s: float) -> None:
        """Count an onset of a person with these events, which are known `late_s` after."""
        starts = [e.time_s for e in events if e.kind == "addressed"]
        stops = [e.time_s for e in events if e.kind == "released"]
        on = sum(t <= onset for t in starts) > sum(t <= onset + HELD_S for t in stops)
        found = [t for t in starts if onset - BEFORE_S <= t < end]
        if on and not found:
            self.on_already += 1
        elif found:
            self.delays.append(found[0] + late_s - onset)
        else:
            self.missed += 1

    def __str__(self) -> str:
        n = len(self.delays) + self.on_already + self.missed
        found = f"{len(self.delays)} found"
        if self.delays:
            median, late = np.percentile(self.delays, [50, 90])
            soon = np.mean(np.array(self.delays) <= FLOOR_S)
            found += f" (median {median:.2f} s, 90 % in {late:.2f} s, {soon:.0%} in {FLOOR_S} s)"
        return (
            f"{n} onsets: {self.on_already} on already, {found}, {self.missed} missed; "
            f"{self.unread} more of faces that cannot be read"
        )


@dataclass
class Times:
    """Seconds in which somebody counts as talking to the wearer, against the truth."""

    right: float = 0.0
    wrong: float = 0.0
    missed: float = 0.0

    def __str__(self) -> str:
        precision = self.right / max(self.right + self.wrong, 1e-9)
        recall = self.right / max(self.right + self.missed, 1e-9)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        return f"F1 {f1:.2f}, precision {precision:.2f}, recall {recall:.2f}"


def measure_labels(folder: Path, out: Path) -> None:
    """Run every clip and print the onsets' delays; `out` gets a folder a clip, as `quavf run`."""
    clips = json.loads((folder / "labels.json").read_text())["clips"]
    pipeline = open_pipeline()
    for look_ahead in LOOK_AHEADS:
        onsets = Onsets()
        for clip in clips:
            config = LiveConfig(look_ahead, real_time=False, record=True)
            feed = FileFeed(open_video_file(folder / clip["file"]))
            with pipeline.live(config=config) as session:
                feed.run(session)
                session.close()
                events = session.events()
            result = session.result(feed.media, pipeline.models())
            target = out / f"{look_ahead:g}" / clip["file"].rsplit(".", 1)[0]
            result.write(target)
            (target / "events.json").write_text(json.dumps([e.to_json() for e in events]))
            told = [e for e in events if e.kind in ("addressed", "released")]
            print(f"  {clip['file']}:", *(f"{e.person} {e.kind} {e.time_s:.2f}" for e in told))
            for onset, end in find_onsets(clip):
                onsets.note(events, onset, end, round(look_ahead * RATE) / RATE + REORDER_S)
        print(f"look-ahead {look_ahead:g}: {onsets}", flush=True)


def find_onsets(clip: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Start and end of each stretch of speech to the camera that no speech precedes."""
    for person in clip["people"]:
        before: dict[str, Any] | None = None
        for segment in person["segments"]:
            talks = segment["speaking"] is True and segment["to_camera"] is True
            was = before is not None and before["speaking"] is not False
            if talks and not was:
                yield segment["start_s"], segment["end_s"]
            before = segment


def measure_simulated(stores: list[Path]) -> None:
    """Print onsets' delays, and how far the states agree with the truth, by look-ahead."""
    pipeline = open_pipeline()
    for look_ahead in LOOK_AHEADS:
        onsets, times = Onsets(), Times()
        for path in stores:
            store = ClipStore.open(path)
            for clip in store.clips():
                judge_clip(pipeline, store, clip, look_ahead, onsets, times)
        print(f"look-ahead {look_ahead:g}: {onsets}; {times}", flush=True)


def judge_clip(
    pipeline: Pipeline, store: ClipStore, clip: str, look_ahead: float, onsets: Onsets, times: Times
) -> None:
    """Count the onsets of all people in a clip, and the time that their states are right."""
    faces, manifest = store.cues(clip), store.manifest(clip)
    people: Ints = np.unique(faces.person)
    ticks = range(count_ticks(faces, manifest.n_samples))
    if not len(people):
        return
    grid = build_grid(faces, store.sound_cues(clip), people, ticks)
    events = judge_grid(pipeline, grid, round(look_ahead * RATE))
    for k, person in enumerate(people.tolist()):
        spans = [s for s in manifest.segments if s.person == person and s.label == 1]
        rate = float(manifest.clock.fps)
        talks = np.zeros(len(ticks), bool)
        for span in spans:
            first, end = (round(f / rate * RATE) for f in (span.start_frame, span.last_frame + 1))
            talks[first:end] = True
        seen, read = grid.is_seen[k], grid.is_read[k]
        talks &= seen
        own = [e for e in events if e.person == k + 1]
        is_on = find_on(own, len(ticks)) & seen
        if read.mean() >= READ_SHARE:
            times.right += (is_on & talks).sum() / RATE
            times.wrong += (is_on & ~talks).sum() / RATE
            times.missed += (~is_on & talks).sum() / RATE
        for start, stop in find_turns(talks, seen):
            if read[start:stop].mean() < READ_TURN:
                onsets.unread += 1
            else:
                onsets.note(
                    own, start / RATE, stop / RATE, round(look_ahead * RATE) / RATE + REORDER_S
                )


def find_turns(talks: Array, seen: Array) -> Iterator[tuple[int, int]]:
    """Stretches of at least a second, in view, after a second in view without."""
    edges = np.flatnonzero(np.diff(talks.astype(int), prepend=0, append=0))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        quiet = start >= RATE and not talks[start - RATE : start].any()
        if quiet and stop - start >= RATE and seen[start - RATE : stop].mean() > 0.9:
            yield start, stop


def find_on(events: list[LiveEvent], n_ticks: int) -> Array:
    """(T,) whether a person's state is on."""
    is_on = np.zeros(n_ticks, bool)
    for event in events:
        if event.kind in ("addressed", "released"):
            is_on[round(event.time_s * RATE) :] = event.kind == "addressed"
    return is_on


def judge_grid(pipeline: Pipeline, grid: CueGrid, look_ahead: int) -> list[LiveEvent]:
    """The events that a session makes of a grid of cues, whose past is not cut off at 10 s."""
    judged = pipeline.load_live_networks().predictor.judge_grid(grid, look_ahead)  # (P, 3, T)
    states, events = States(pipeline.bundle.moments), list[LiveEvent]()
    fused = [
        pipeline.bundle.fusion.fuse(
            {"cues": own[0], "confidence": rows[:, CONFIDENCE], "face_size": rows[:, SIZE]}
        )
        for own, rows in zip(judged, grid.faces, strict=True)
    ]
    for tick in range(grid.n_ticks):
        scores = []
        for k in np.flatnonzero(grid.is_seen[:, tick]).tolist():
            row = grid.faces[k, tick]
            middle, side = row[[X, Y]] * PICTURE, row[SIZE]
            box = np.concatenate([middle - side / 2, middle + side / 2])
            face = SeenFace(k + 1, tick, tick / RATE, tick, box, row)
            cues, speaks, looks = judged[k, :, tick].tolist()
            scores.append(TickScores(face, float(fused[k][tick]), speaks, looks, cues))
        events += states.take(tick, scores)
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    labels = commands.add_parser("labels")
    labels.add_argument("--clips", type=Path, required=True)
    labels.add_argument("--out", type=Path, required=True)
    simulated = commands.add_parser("simulated")
    simulated.add_argument("--stores", nargs="+", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "labels":
        measure_labels(options.clips, options.out)
    else:
        measure_simulated(options.stores)


if __name__ == "__main__":
    main()
