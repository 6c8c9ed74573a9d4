"""Evaluate: judge a scores folder against a store's labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import FUSED, LOOKING, SPEAKING, branch_names
from quavf.core.errors import StoreError
from quavf.core.records import TALKING, WEARER, Floats, Interval, Ints, Segment
from quavf.evaluation.ava import AvaResult, judge_ava, read_truth
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.protocols import Evaluation, evaluate_scores
from quavf.results.fusion import Fusion, PublishedFormula, encode_clips, read_fusion
from quavf.results.scores import Scores, read_config, read_scores
from quavf.results.turns import fuse_turns, list_turns
from quavf.sources.registry import AVA
from quavf.store import ClipStore
from quavf.workflows.submit import score_store_rows


def evaluate(
    scores: Path | str,
    store: Path | str,
    out: Path | str,
    config: EvaluateConfig | None = None,
) -> Evaluation:
    """Judge a scores folder against a store's labels; write figures, tables and pictures."""
    from quavf.report.evaluation import write_evaluation

    found, clips = read_scores(Path(scores)), ClipStore.open(Path(store))
    labels = read_intervals(clips)
    segments = [] if _labels_others(clips, labels) else read_labels(Path(store))
    unlabelled = read_unlabelled(clips)
    fusion = read_made_fusion(Path(scores), found, clips)
    evaluation = evaluate_scores(found, segments, config, labels, fusion, unlabelled)
    counts = {**evaluation.counts, **count_unmatched(found, clips)}
    ava = judge_ava_store(found, clips) if clips.config.kind == AVA.name else None
    evaluation = replace(evaluation, counts=counts, ava=ava)
    write_evaluation(Path(out), evaluation)
    return evaluation


def _labels_others(store: ClipStore, labels: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether a store labels who speaks or looks, but not who talks to the wearer."""
    return any(labels.values()) and not any(store.manifest(c).segments for c in store.clips())


def judge_ava_store(scores: Scores, store: ClipStore) -> AvaResult | None:
    """AVA's own measure on all rows of the clips that have scores; None without any score."""
    if SPEAKING not in scores.columns:
        return None
    found = list(score_store_rows(scores, store, SPEAKING, only_scored=True))
    if not found:
        return None
    return judge_ava(
        np.concatenate([read_truth(rows) for _, rows, _ in found]),
        np.concatenate([own.scores for _, _, own in found]),
        sum(own.n_filled for _, _, own in found),
        sum(own.n_unknown for _, _, own in found),
    )


@dataclass(frozen=True)
class MeasuredFusion:
    """A learned fusion, with the measures of faces (N,) that it reads beside scores.

    Labelled segments, each a list of rows, have a fusion of their own if `turns` is given.
    """

    fusion: Fusion
    measures: Mapping[str, Floats]
    turns: Fusion | None = None
    segments: Sequence[Ints] = ()

    def fuse(self, columns: Mapping[str, Floats]) -> Floats:
        """The fused score (N,) of the rows that were measured."""
        seen = {**self.measures, **columns}
        fused = self.fusion.fuse(seen)
        return fused if self.turns is None else fuse_turns(seen, self.segments, self.turns, fused)

    def to_json(self) -> dict[str, Any]:
        """Plain values of the fusion alone."""
        return self.fusion.to_json()


def read_made_fusion(folder: Path, scores: Scores, store: ClipStore) -> Fusion:
    """The fusion that made the scores of a folder, for these rows."""
    made = read_config(folder)
    fusion = read_fusion(made.get("fusion"))
    if isinstance(fusion, PublishedFormula):
        return fusion
    measures = measure_rows(scores, store)
    options = made.get("options", {})
    if not made.get("turns") or options.get("all_faces") or not options.get("whole_turns", True):
        return MeasuredFusion(fusion, measures)
    segments = list_segment_rows(scores, store)
    return MeasuredFusion(fusion, measures, read_fusion(made["turns"]), segments)


def list_segment_rows(scores: Scores, store: ClipStore) -> list[Ints]:
    """The rows of each labelled segment that is a turn, as `ClipData.turns`."""
    names, codes = encode_clips(scores.clip)
    found: list[Ints] = []
    for code, clip in enumerate(map(str, names)):
        manifest = store.manifest(clip) if store.has_clip(clip) else None
        if manifest is None or TALKING in manifest.unlabelled:
            continue
        own = np.flatnonzero(codes == code)
        found += [own[rows] for rows in list_turns(scores.take(own), manifest.segments)]
    return found


def measure_rows(scores: Scores, store: ClipStore) -> dict[str, Floats]:
    """How well the face of each row can be seen, (N,) by name; NaN where the store cannot say."""
    from quavf.inference.measures import MEASURES, measure_faces

    names, codes = encode_clips(scores.clip)
    found = {name: np.full(len(scores), np.nan) for name in MEASURES}
    for code, clip in enumerate(map(str, names)):
        if store.has_clip(clip):
            own, fps = np.flatnonzero(codes == code), float(store.manifest(clip).clock.fps)
            person, time_s = scores.person[own], scores.frame[own] / fps
            for name, values in measure_faces(store, clip, person, time_s).items():
                found[name][own] = values
    return found


def read_labels(store: Path) -> list[tuple[str, Segment]]:
    """Every labelled segment of a store with its clip's id. Raises StoreError when none is."""
    clips = ClipStore.open(store)
    found = [(clip, s) for clip in clips.clips() for s in clips.manifest(clip).segments]
    if not found:
        raise StoreError(f"{store}: nothing is labelled in this store; a challenge set is not")
    return found


def read_intervals(store: ClipStore) -> dict[str, dict[str, tuple[Interval, ...]]]:
    """When people speak and look at the wearer: by score column, then by labelled clip."""
    found: dict[str, dict[str, tuple[Interval, ...]]] = {SPEAKING: {}, LOOKING: {}}
    for clip in store.clips():
        manifest = store.manifest(clip)
        for name, intervals in ((SPEAKING, manifest.speaking), (LOOKING, manifest.looking)):
            if intervals is not None:
                found[name][clip] = intervals
    return found


def read_unlabelled(store: ClipStore) -> dict[str, dict[str, tuple[Interval, ...]]]:
    """Stretches that are not labelled, of clips that are: by score column, then by clip."""
    found = {name: store.manifest(name).unlabelled for name in store.clips()}
    return {
        kind: {clip: kinds[kind] for clip, kinds in found.items() if kind in kinds}
        for kind in (SPEAKING, LOOKING)
    }


def count_unmatched(scores: Scores, store: ClipStore) -> dict[str, int]:
    """Faces in labelled segments of the store that have no score, and scores without a face."""
    scored = np.any([~np.isnan(scores[name]) for name in (*branch_names(), FUSED)], axis=0)
    names, codes = encode_clips(scores.clip)
    rows_of = {str(name): np.flatnonzero(codes == code) for code, name in enumerate(names)}
    counts = Counter(store_faces=0, store_faces_without_score=0, store_clips_without_score=0)
    counts["scores_without_face"] = len(scores)
    for clip in store.clips():
        faces, own = store.faces(clip), rows_of.get(clip, np.empty(0, int))
        inside = np.zeros(len(faces), bool)
        for segment in store.manifest(clip).segments:
            if segment.person > WEARER:
                inside |= segment.covers(faces.frame) & (faces.person == segment.person)
        keys = _encode_faces(faces.person, faces.frame)
        found = _encode_faces(scores.person[own], scores.frame[own])
        counts["store_faces"] += int(inside.sum())
        missing = inside & ~np.isin(keys, found[scored[own]])
        counts["store_faces_without_score"] += int(missing.sum())
        counts["store_clips_without_score"] += bool(inside.any() and missing.sum() == inside.sum())
        counts["scores_without_face"] -= int(np.isin(found, keys).sum())
    return dict(counts)


def _encode_faces(person: Ints, frame: Ints) -> Ints:
    """One number for each (person, frame)."""
    return np.asarray(person, np.int64) * (1 << 32) + frame
