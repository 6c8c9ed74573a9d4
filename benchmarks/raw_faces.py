"""Compare automatic faces of raw video with the truth of simulated conversations.

    python benchmarks/raw_faces.py --data DIR [--clips 8] [--seconds 20] [--preset table]
        [--audio CKPT] [--visual CKPT] [--out FILE.json]

Simulates the clips missing in DIR. Faces are evaluated five times per second, when pictures are
both searched (15 a second) and scored (10). A true face counts if at least half of it is visible,
its yaw is below 90 degrees and it is at least 24 pixels high; detections on other true faces are
ignored. With checkpoints, also compares the mAP of raw tracks with that of annotated boxes on the
same faces: those annotated inside labelled segments. A face without a raw track gets score 0.
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

IOU = 0.5  # minimum for a match of a detected and a true box
MIN_VISIBLE = 0.5  # share of the face inside the picture and not occluded
MIN_HEIGHT = 24  # pixels
MAX_YAW = 90  # degrees
HEIGHTS = (24, 40, 60, 80, 120, 1000)  # pixels: bins of the table
YAWS = (0, 20, 40, 60, 90)  # absolute, degrees
BLURS = (0, 2, 5, 10, 1000)  # percent of the face's height
STEP = 6  # frames of 1/30 s between evaluated ones
SCORE_STEP = 3  # between scores
LOWEST = 0.0  # score of a face without a raw track


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4) xyxy."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), axis=1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def match_boxes(a: Floats, b: Floats, least: float = IOU) -> list[tuple[int, int]]:
    """Match rows of two sets of boxes greedily by overlap; each row at most once."""
    overlap = iou(a, b)
    pairs = []
    while overlap.size and overlap.max() >= least:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append((int(i), int(j)))
        overlap[i, :], overlap[:, j] = -1, -1
    return pairs


@dataclass
class Trajectory:
    """The track number on one true person at each detection time; 0 without a track."""

    numbers: list[int] = field(default_factory=list)

    @property
    def switches(self) -> int:
        """Number of changes of the track number, ignoring gaps."""
        own = [n for n in self.numbers if n]
        return sum(a != b for a, b in pairwise(own))

    @property
    def fragments(self) -> int:
        """Number of interruptions after which tracking resumed."""
        on = np.array([0, *(n > 0 for n in self.numbers), 0])
        return max(int((np.diff(on) > 0).sum()) - 1, 0)


@dataclass(frozen=True)
class TrueFaces:
    """True faces of one clip: columns (N,), boxes (N, 4)."""

    frame: Ints
    person: Ints
    box: Floats
    height: Floats
    yaw: Floats  # absolute, degrees
    blur: Floats  # motion blur, relative to the face height
    is_cut: Any  # (N,) mask: the picture border cuts the box
    counts: Any  # (N,) mask: should be detected

    @classmethod
    def read(cls, path: Path, size: tuple[int, int]) -> TrueFaces:
        """Read a truth table, with boxes clipped to the picture of `size` (width, height)."""
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
class FaceTally:
    """Counts of detected and missed faces over all clips."""

    height: list[float] = field(default_factory=list)  # of the true faces that count
    yaw: list[float] = field(default_factory=list)
    blur: list[float] = field(default_factory=list)
    is_cut: list[bool] = field(default_factory=list)
    detected: list[bool] = field(default_factory=list)
    tracked: list[bool] = field(default_factory=list)
    detected_height: list[float] = field(default_factory=list)  # of the detections that count
    detected_right: list[bool] = field(default_factory=list)
    tracks: Counter[str] = field(default_factory=Counter)
    people: dict[tuple[str, int], Trajectory] = field(default_factory=dict)

    def add(
        self, clip: str, truth: TrueFaces, detections: dict[int, Floats], raw: PreparedVideo
    ) -> None:
        """Add one clip: detected boxes by frame, and the resulting tracks."""
        ticks = np.arange(0, int(truth.frame.max()) + 1, STEP)
        tracks = {p: raw.face_at(p, ticks).boxes for p in range(1, len(raw.persons) + 1)}
        people_by_track: dict[int, set[int]] = {}
        for index, tick in enumerate(ticks.tolist()):
            own = np.flatnonzero(truth.frame == tick)
            boxes = detections.get(tick, np.empty((0, 4)))
            hits = dict(match_boxes(truth.box[own], np.clip(boxes, 0, [*raw.file.size] * 2)))
            self._add_detections(boxes, hits, truth.counts[own])
            present = [p for p, box in tracks.items() if not np.isnan(box[index, 0])]
            placed = np.array([tracks[p][index] for p in present]).reshape(-1, 4)
            placed = np.clip(placed, 0, [*raw.file.size] * 2)
            followed = {i: present[j] for i, j in match_boxes(truth.box[own], placed)}
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
                self.people.setdefault((clip, person), Trajectory()).numbers.append(number)
                if number:
                    people_by_track.setdefault(number, set()).add(person)
        self.tracks["all"] += len(raw.persons)
        self.tracks["on nobody"] += len(raw.persons) - len(people_by_track)
        self.tracks["on several people"] += sum(
            len(people) > 1 for people in people_by_track.values()
        )

    def _add_detections(self, boxes: Floats, hits: dict[int, int], counts: Any) -> None:
        ignored = {j for i, j in hits.items() if not counts[i]}
        for j in range(len(boxes)):
            if j not in ignored:
                self.detected_height.append(float(boxes[j, 3] - boxes[j, 1]))
                self.detected_right.append(j in hits.values())

    def compute_figures(self) -> dict[str, Any]:
        """All figures as plain values."""
        people = self.people.values()
        covered = [np.mean([n > 0 for n in f.numbers]) for f in people]
        height, yaw = np.array(self.height), np.array(self.yaw)
        blur, cut = np.array(self.blur) * 100, np.array(self.is_cut, float)
        found = np.array(self.detected_height)
        hits = {"detected": self.detected, "tracked": self.tracked}
        return {
            "faces": len(self.height),
            "detections": len(found),
            "detection recall": _compute_share(self.detected),
            "detection precision": _compute_share(self.detected_right),
            "track recall": _compute_share(self.tracked),
            "by height": _compute_bins(HEIGHTS, height, **hits),
            "by yaw": _compute_bins(YAWS, yaw, **hits),
            "by blur, percent of the height": _compute_bins(BLURS, blur, **hits),
            "by whether the border cuts the face": _compute_bins((0, 1, 2), cut, **hits),
            "precision by height": _compute_bins(
                (0, *HEIGHTS[1:]), found, right=self.detected_right
            ),
            "people": len(self.people),
            "people followed for 80 % of their time": int(sum(c >= 0.8 for c in covered)),
            "people never followed": int(sum(c == 0 for c in covered)),
            "identity switches": sum(f.switches for f in people),
            "fragments": sum(f.fragments for f in people),
            "tracks": dict(self.tracks),
        }


def _compute_share(hits: Sequence[bool]) -> float | None:
    return float(np.mean(hits)) if len(hits) else None


def _compute_bins(
    edges: Sequence[int], values: Floats, **columns: Sequence[bool]
) -> list[dict[str, Any]]:
    """For each bin [low, high): number of values, and share of true entries of each column."""
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        shares = {
            name: _compute_share(np.array(c, bool)[inside].tolist()) for name, c in columns.items()
        }
        rows.append({"low": low, "high": high, "n": int(inside.sum()), **shares})
    return rows


def read_detections(store: ClipStore, clip: str) -> dict[int, Floats]:
    """Read detected boxes (N, 4) by frame; frames without a detection are left out."""
    (path,) = (store.path / "search").glob(f"{clip}.*.npz")
    with np.load(path) as content:
        times, boxes = content["times"], content["boxes"]
    frames = np.round(times * 30).astype(int)
    return {int(frame): boxes[frames == frame] for frame in np.unique(frames)}


def score_raw_tracks(
    annotated: Scores, store: ClipStore, results: dict[str, VideoResult]
) -> Scores:
    """Scores of the raw track on the face of each annotated row; NaN without a track."""
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
            for i, j in match_boxes(true, boxes):
                person, k = raw[j]
                for name, column in columns.items():
                    column[rows[i]] = result.scores[person][name][k]
    return Scores(annotated.clip, annotated.person, annotated.frame, columns)


def fill_missing(raw: Scores, annotated: Scores) -> tuple[Scores, float]:
    """Fill missing scores with the lowest score; also return the share of covered rows."""
    covered = ~np.isnan(raw.fused)
    filled = {
        name: np.where(covered | np.isnan(annotated[name]), raw[name], LOWEST)
        for name in (*branch_names(), FUSED)
    }
    scores = replace(raw, columns={**raw.columns, **filled})
    return scores, float(covered.mean()) if len(covered) else 0.0


def compare_scores(data: Path, work: Path, audio: str, visual: str) -> dict[str, Any]:
    """Compute mAP with annotated boxes and with raw tracks on the same faces."""
    prepare_ego4d(data / "annotations", data / "clips", work / "annotated")
    score_quality(work / "annotated")
    store = ClipStore.open(work / "annotated")
    predict(work / "annotated", work / "scores", audio or None, visual or None)
    everything = read_scores(work / "scores")
    annotated = everything.take(everything.frame % SCORE_STEP == 0)
    config = RunConfig(audio=audio, visual=visual, annotated=False, report=False)
    results = {
        clip: run_video(data / "clips" / f"{clip}.mp4", work / "raw" / clip, config).result
        for clip in store.clips()
    }
    raw, coverage = fill_missing(score_raw_tracks(annotated, store, results), annotated)
    judge = EvaluateConfig(n_resamples=0)
    segments = read_labels(work / "annotated")
    return {
        "coverage": coverage,
        "annotated boxes": _list_maps(evaluate_scores(annotated, segments, judge)),
        "raw tracks": _list_maps(evaluate_scores(raw, segments, judge)),
        "rows": len(annotated),
    }


def _list_maps(evaluation: Evaluation) -> dict[str, float | None]:
    systems = evaluation.frame.systems.items()
    return {name: system.map for name, system in systems if system is not None}


def evaluate_faces(data: Path, work: Path, clips: Sequence[str]) -> dict[str, Any]:
    """Detect and track the faces of every clip, and compare them with the truth."""
    tally = FaceTally()
    for clip in clips:
        prepared = prepare_video(data / "clips" / f"{clip}.mp4", work / "found" / clip)
        detections = read_detections(prepared.store, prepared.clip)
        truth = TrueFaces.read(data / "truth" / f"{clip}.parquet", prepared.file.size)
        tally.add(clip, truth, detections, prepared)
    return tally.compute_figures()


def print_figures(content: dict[str, Any]) -> None:
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
    parser.add_argument("--data", type=Path, required=True, help="folder of simulated clips")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a clip (20)")
    parser.add_argument("--preset", default="table", help="clean, table, party or mixed (table)")
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--audio", default="", help="checkpoint, or a name such as small")
    parser.add_argument("--visual", default="", help="checkpoint, or a name such as small")
    parser.add_argument("--work", type=Path, help="folder to keep intermediate results in")
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
        content["faces"] = evaluate_faces(options.data, Path(name), clips)
        if options.audio or options.visual:
            content["map"] = compare_scores(options.data, Path(name), options.audio, options.visual)
    print_figures(content)
    if options.out:
        write_json(options.out, content)


if __name__ == "__main__":
    main()
