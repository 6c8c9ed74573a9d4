"""What automatic faces cost: raw video against the truth of simulated conversations.

    python benchmarks/raw_faces.py --data DIR [--clips 8] [--seconds 20] [--preset table]
        [--audio CKPT] [--visual CKPT] [--out FILE.json]

Clips that DIR lacks are simulated. Faces are judged ten times a second, as often as they are looked
for. A true face counts when at least half of it can be seen, it is turned away by less than 90
degrees and at least 24 pixels high; what is found on other true faces is neither right nor wrong.
With checkpoints, raw tracks take the place of annotated boxes and both are judged on the same
faces: those annotated inside labelled segments. One that no raw track covers counts with score 0.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from quavf.core.branches import FUSED, branch_names, score_columns
from quavf.core.records import Floats, Ints
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.protocols import Evaluation, evaluate_scores
from quavf.results.scores import Scores, read_scores
from quavf.results.video import VideoResult
from quavf.simulate.config import SimulateConfig
from quavf.store import ClipStore
from quavf.utils.files import write_json
from quavf.video.prepare import prepare_video
from quavf.video.prepared import PreparedVideo
from quavf.workflows.config import RunConfig
from quavf.workflows.evaluate import read_labels
from quavf.workflows.predict import predict
from quavf.workflows.prepare import prepare_ego4d
from quavf.workflows.quality import score_quality
from quavf.workflows.run import run_video
from quavf.workflows.simulate import list_clip_keys, simulate_clips

IOU = 0.5  # from which a found box and a true one are the same face
MIN_VISIBLE = 0.5  # share of a face that must be in the picture with nobody before it
MIN_HEIGHT = 24  # pixels
MAX_YAW = 90  # degrees: a face turned further shows no face
HEIGHTS = (24, 40, 60, 80, 120, 1000)  # pixels: bins of the table
YAWS = (0, 20, 40, 60, 90)  # degrees either way
BLURS = (0, 2, 5, 10, 1000)  # percent of the face's height
STEP = 3  # frames of 1/30 s between two looks
LOWEST = 0.0  # score of a face that the raw path missed


def iou(a: Floats, b: Floats) -> Floats:
    """(A, B) intersection over union of boxes (A, 4) and (B, 4) xyxy."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), axis=1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def matched(a: Floats, b: Floats, least: float = IOU) -> list[tuple[int, int]]:
    """Pairs of rows of two sets of boxes, the most overlapping first; each row at most once."""
    overlap = iou(a, b)
    pairs = []
    while overlap.size and overlap.max() >= least:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append((int(i), int(j)))
        overlap[i, :], overlap[:, j] = -1, -1
    return pairs


@dataclass
class Following:
    """How one true person was followed, look by look: the number of the track, 0 for none."""

    numbers: list[int] = field(default_factory=list)

    @property
    def switches(self) -> int:
        """How often the track's number is another than it was when last followed."""
        own = [n for n in self.numbers if n]
        return sum(a != b for a, b in pairwise(own))

    @property
    def fragments(self) -> int:
        """How often following was interrupted and taken up again."""
        on = np.array([0, *(n > 0 for n in self.numbers), 0])
        return max(int((np.diff(on) > 0).sum()) - 1, 0)


@dataclass(frozen=True)
class Truth:
    """The true faces of one clip: columns (N,), boxes (N, 4)."""

    frame: Ints
    person: Ints
    box: Floats
    height: Floats
    yaw: Floats  # degrees either way
    blur: Floats  # of motion, by the face's height
    is_cut: Any  # (N,) mask: the picture's border goes through the box
    counts: Any  # (N,) mask: those that should be found

    @classmethod
    def read(cls, path: Path, size: tuple[int, int]) -> Truth:
        """Boxes are cut at the borders of the picture, of `size` (width, height)."""
        table = pq.read_table(path)
        column = {name: table[name].to_numpy() for name in table.column_names}
        box = np.stack([column[side] for side in ("x1", "y1", "x2", "y2")], axis=1)
        cut = np.clip(box, 0, [*size, *size])
        height, yaw = cut[:, 3] - cut[:, 1], np.abs(column["yaw_deg"])
        counts = (column["visible"] >= MIN_VISIBLE) & (height >= MIN_HEIGHT) & (yaw < MAX_YAW)
        return cls(
            column["frame"], column["person"], cut.astype(float), height, yaw, column["blur"],
            (cut != box).any(axis=1), counts,
        )  # fmt: skip


@dataclass
class Tally:
    """Faces found and missed of all clips."""

    height: list[float] = field(default_factory=list)  # of true faces that count
    yaw: list[float] = field(default_factory=list)
    blur: list[float] = field(default_factory=list)
    is_cut: list[bool] = field(default_factory=list)
    detected: list[bool] = field(default_factory=list)
    tracked: list[bool] = field(default_factory=list)
    found_height: list[float] = field(default_factory=list)  # of detections that are judged
    found_right: list[bool] = field(default_factory=list)
    tracks: Counter[str] = field(default_factory=Counter)
    people: dict[tuple[str, int], Following] = field(default_factory=dict)

    def add(self, clip: str, truth: Truth, looks: dict[int, Floats], raw: PreparedVideo) -> None:
        """Judge one clip: boxes found at each look, and the tracks made of them."""
        ticks = np.arange(0, int(truth.frame.max()) + 1, STEP)
        tracks = {p: raw.face_at(p, ticks).boxes for p in range(1, len(raw.persons) + 1)}
        seen_with: dict[int, set[int]] = {}
        for index, tick in enumerate(ticks.tolist()):
            own = np.flatnonzero(truth.frame == tick)
            boxes = looks.get(tick, np.empty((0, 4)))
            hits = dict(matched(truth.box[own], np.clip(boxes, 0, [*raw.file.size] * 2)))
            self._add_found(boxes, hits, truth.counts[own])
            there = [p for p, box in tracks.items() if not np.isnan(box[index, 0])]
            placed = np.array([tracks[p][index] for p in there]).reshape(-1, 4)
            placed = np.clip(placed, 0, [*raw.file.size] * 2)
            followed = {i: there[j] for i, j in matched(truth.box[own], placed)}
            for i, row in enumerate(own.tolist()):
                if not truth.counts[row]:
                    continue
                person, number = int(truth.person[row]), followed.get(i, 0)
                self.height.append(float(truth.height[row]))
                self.yaw.append(float(truth.yaw[row]))
                self.blur.append(float(truth.blur[row]))
                self.is_cut.append(bool(truth.is_cut[row]))
                self.detected.append(i in hits)
                self.tracked.append(number > 0)
                self.people.setdefault((clip, person), Following()).numbers.append(number)
                if number:
                    seen_with.setdefault(number, set()).add(person)
        self.tracks["all"] += len(raw.persons)
        self.tracks["on nobody"] += len(raw.persons) - len(seen_with)
        self.tracks["on several people"] += sum(len(people) > 1 for people in seen_with.values())

    def _add_found(self, boxes: Floats, hits: dict[int, int], counts: Any) -> None:
        ignored = {j for i, j in hits.items() if not counts[i]}
        for j in range(len(boxes)):
            if j not in ignored:
                self.found_height.append(float(boxes[j, 3] - boxes[j, 1]))
                self.found_right.append(j in hits.values())

    def figures(self) -> dict[str, Any]:
        """Everything counted, as plain values."""
        people = self.people.values()
        covered = [np.mean([n > 0 for n in f.numbers]) for f in people]
        height, yaw = np.array(self.height), np.array(self.yaw)
        blur, cut = np.array(self.blur) * 100, np.array(self.is_cut, float)
        found = np.array(self.found_height)
        hits = {"detected": self.detected, "tracked": self.tracked}
        return {
            "faces": len(self.height),
            "detections": len(found),
            "detection recall": _share(self.detected),
            "detection precision": _share(self.found_right),
            "track recall": _share(self.tracked),
            "by height": _bins(HEIGHTS, height, **hits),
            "by yaw": _bins(YAWS, yaw, **hits),
            "by blur, percent of the height": _bins(BLURS, blur, **hits),
            "by whether the border cuts the face": _bins((0, 1, 2), cut, **hits),
            "precision by height": _bins((0, *HEIGHTS[1:]), found, right=self.found_right),
            "people": len(self.people),
            "people followed for 80 % of their time": int(sum(c >= 0.8 for c in covered)),
            "people never followed": int(sum(c == 0 for c in covered)),
            "identity switches": sum(f.switches for f in people),
            "fragments": sum(f.fragments for f in people),
            "tracks": dict(self.tracks),
        }


def _share(hits: Sequence[bool]) -> float | None:
    return float(np.mean(hits)) if len(hits) else None


def _bins(edges: Sequence[int], values: Floats, **columns: Sequence[bool]) -> list[dict[str, Any]]:
    """For each [low, high) how many values, and the share of each column that is true."""
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        shares = {name: _share(np.array(c, bool)[inside].tolist()) for name, c in columns.items()}
        rows.append({"low": low, "high": high, "n": int(inside.sum()), **shares})
    return rows


def found_by_look(store: ClipStore, clip: str) -> dict[int, Floats]:
    """The boxes (N, 4) of every look that found any, by its frame."""
    (path,) = (store.path / "search").glob(f"{clip}.*.npz")
    with np.load(path) as content:
        times, boxes = content["times"], content["boxes"]
    frames = np.round(times * 30).astype(int)
    return {int(frame): boxes[frames == frame] for frame in np.unique(frames)}


def raw_scores(annotated: Scores, store: ClipStore, results: dict[str, VideoResult]) -> Scores:
    """For each annotated row the scores of the raw track on the same face; NaN where none is."""
    columns = {name: np.full(len(annotated), np.nan) for name in score_columns()}
    for clip, result in results.items():
        faces = store.faces(clip)
        row_of = faces.row_of()
        rows_at: dict[int, list[int]] = {}
        for row in np.flatnonzero(annotated.clip == clip).tolist():
            rows_at.setdefault(int(annotated.frame[row]), []).append(row)
        raw_at: dict[int, list[tuple[int, int]]] = {}
        for person, own in result.scores.items():
            for k, tick in enumerate(np.round(own.time_s * 30).astype(int).tolist()):
                raw_at.setdefault(tick, []).append((person, k))
        for frame, rows in rows_at.items():
            raw = raw_at.get(frame, [])
            true = faces.box[[row_of[int(annotated.person[row]), frame] for row in rows]]
            boxes = np.array([result.scores[p].box[k] for p, k in raw]).reshape(-1, 4)
            for i, j in matched(true, boxes):
                person, k = raw[j]
                for name, column in columns.items():
                    column[rows[i]] = result.scores[person][name][k]
    return Scores(annotated.clip, annotated.person, annotated.frame, columns)


def with_lowest(raw: Scores, annotated: Scores) -> tuple[Scores, float]:
    """The same with the lowest score where no raw track is, and the share of rows that has one."""
    covered = ~np.isnan(raw.fused)
    filled = {
        name: np.where(covered | np.isnan(annotated[name]), raw[name], LOWEST)
        for name in (*branch_names(), FUSED)
    }
    scores = replace(raw, columns={**raw.columns, **filled})
    return scores, float(covered.mean()) if len(covered) else 0.0


def compare(data: Path, work: Path, audio: str, visual: str) -> dict[str, Any]:
    """mAP with annotated boxes and with raw tracks, on the same faces."""
    prepare_ego4d(data / "annotations", data / "clips", work / "annotated")
    score_quality(work / "annotated")
    store = ClipStore.open(work / "annotated")
    predict(work / "annotated", work / "scores", audio or None, visual or None)
    everything = read_scores(work / "scores")
    annotated = everything.take(everything.frame % STEP == 0)
    config = RunConfig(audio=audio, visual=visual, annotated=False, report=False)
    results = {
        clip: run_video(data / "clips" / f"{clip}.mp4", work / "raw" / clip, config).result
        for clip in store.clips()
    }
    raw, coverage = with_lowest(raw_scores(annotated, store, results), annotated)
    judge = EvaluateConfig(n_resamples=0)
    segments = read_labels(work / "annotated")
    return {
        "coverage": coverage,
        "annotated boxes": _maps(evaluate_scores(annotated, segments, judge)),
        "raw tracks": _maps(evaluate_scores(raw, segments, judge)),
        "rows": len(annotated),
    }


def _maps(evaluation: Evaluation) -> dict[str, float | None]:
    systems = evaluation.frame.systems.items()
    return {name: system.map for name, system in systems if system is not None}


def judge_faces(data: Path, work: Path, clips: Sequence[str]) -> dict[str, Any]:
    """Find and follow the faces of every clip, and compare with the truth."""
    tally = Tally()
    for clip in clips:
        prepared = prepare_video(data / "clips" / f"{clip}.mp4", work / "found" / clip)
        looks = found_by_look(prepared.store, prepared.clip)
        truth = Truth.read(data / "truth" / f"{clip}.parquet", prepared.file.size)
        tally.add(clip, truth, looks, prepared)
    return tally.figures()


def show(content: dict[str, Any]) -> None:
    faces = content["faces"]
    for name, value in faces.items():
        if isinstance(value, list):
            print(f"{name}:")
            for row in value:
                shares = "  ".join(
                    f"{key} {'–' if row[key] is None else format(row[key], '.3f')}"
                    for key in row
                    if key not in ("low", "high", "n")
                )
                print(f"  {row['low']:>5}–{row['high']:<5} n {row['n']:<6} {shares}")
        else:
            print(f"{name}: {format(value, '.3f') if isinstance(value, float) else value}")
    if "map" in content:
        both = content["map"]
        print(f"faces with a raw track: {both['coverage']:.3f} of {both['rows']}")
        for way in ("annotated boxes", "raw tracks"):
            values = "  ".join(
                f"{k} {'–' if v is None else format(v, '.3f')}" for k, v in both[way].items()
            )
            print(f"mAP, {way}: {values}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of the simulated clips")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a clip (20)")
    parser.add_argument("--preset", default="table", help="clean, table, party or mixed (table)")
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--audio", default="", help="checkpoint, or a name such as small")
    parser.add_argument("--visual", default="", help="the same")
    parser.add_argument("--work", type=Path, help="folder to keep what was found and cut in")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    config = SimulateConfig(
        seed=options.seed, clips=options.clips, seconds=options.seconds, preset=options.preset,
        val_share=0.5, test_share=0.0,
    )  # fmt: skip
    simulate_clips(options.data, config, progress=True)
    clips = [key.name for key in list_clip_keys(config)]
    with nullcontext(options.work) if options.work else tempfile.TemporaryDirectory() as name:
        content: dict[str, Any] = {"options": {k: str(v) for k, v in vars(options).items()}}
        content["faces"] = judge_faces(options.data, Path(name), clips)
        if options.audio or options.visual:
            content["map"] = compare(options.data, Path(name), options.audio, options.visual)
    show(content)
    if options.out:
        write_json(options.out, content)


if __name__ == "__main__":
    main()
