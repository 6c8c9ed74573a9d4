"""A prepared video becomes a result: all branches at the scored times, fused, with moments."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from quavf.core.branches import BRANCHES, FUSED
from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND
from quavf.core.records import Floats, Ints
from quavf.cues.stillness import find_still_faces
from quavf.faces.crop import decode_jpeg, encode_jpeg
from quavf.results.config import MomentsConfig
from quavf.results.fusion import PUBLISHED, Fusion
from quavf.results.moments import find_moments
from quavf.results.records import Moment, Person, PersonBoxes, PersonScores
from quavf.results.small_faces import find_small_faces
from quavf.results.stretches import add_stretches, describe_unread
from quavf.results.video import VideoResult
from quavf.store import ClipStore, CropReader, Faces
from quavf.utils.arrays import load_arrays, save_arrays
from quavf.utils.memory import release_memory
from quavf.video.prepared import PreparedVideo
from quavf.video.schedule import FaceTicks

if TYPE_CHECKING:
    from quavf.inference.clip import ClipData
    from quavf.inference.predictor import Columns, Predictor, Spans

REPAIRED = "n_repaired"  # in a finished part, beside its columns
log = logging.getLogger(__name__)

THUMBNAIL = 160  # pixels, both sides
THUMBNAIL_SHARE = 0.7  # of a crop's side, which is twice the face's
TOO_SMALL = "too small to judge"  # in the note about small faces
NEVER_MOVE = "without any movement, like in a picture"  # in the note about still ones
FEW_PICTURES = 2  # a second; with fewer, faces are found but not followed
SHORT_SOUND_S = 1.0  # sound that ends so much before the pictures is worth a note


@dataclass
class VideoScoring:
    """Scores one prepared video with `predictors`, by branch.

    `parts` is the folder that keeps finished parts, so that an interrupted run goes on; `scorer` is
    the scorer of face quality that has scored the store; `fusion` makes the fused score. The
    branches of `fallback` judge only what the cues cannot.
    """

    video: PreparedVideo
    predictors: Mapping[str, Predictor]
    scorer: str
    parts: Path
    fusion: Fusion = PUBLISHED
    fallback: tuple[str, ...] = ()
    _n_repaired: int = field(default=0, init=False)  # scores that were not finite

    def score(self, moments: MomentsConfig, models: dict[str, str]) -> VideoResult:
        """The result of the video; `models` names what it was made with."""
        from quavf.inference.clip import ClipData

        video, file = self.video, self.video.file
        data = ClipData(video.store, video.clip)
        columns = self._score_branches(data)
        quality = data.store.quality(data.clip, self.scorer)
        thumbnails, without = _try_thumbnails(data, quality)
        still = _find_still(video)
        result = VideoResult(
            video=file.path,
            duration_s=video.duration_s,
            fps=file.fps,
            frame_size=file.size,
            persons=tuple(
                Person(p, *_seen_between(video, p), thumbnails.get(p, b""), p in still)
                for p in columns
            ),
            scores={p: self._rows(video.schedules[p].scored, own) for p, own in columns.items()},
            boxes={p: self._boxes(p) for p in columns},
            models=models,
            has_sound=data.manifest.n_samples is not None,
            fusion=str(self.fusion.to_json()["kind"]),
        )
        step_s = score_step_s(video.config.rate, file.fps)
        notes = (*self._notes(data), *describe_unread(result, step_s), *without)
        return add_moments(replace(result, notes=notes), moments, step_s)

    def _score_branches(self, data: ClipData) -> dict[int, Columns]:
        """The columns (S,) of all branches, by person."""
        schedules = self.video.schedules
        columns: dict[int, Columns] = {person: {} for person in schedules}
        for name, predictor in self.predictors.items():
            is_fallback = name in self.fallback
            spans = {p: s.unread if is_fallback else s.spans for p, s in schedules.items()}
            scores = predictor.score_video(data, spans, self._once, is_silent=self.video.silent)
            for person, own in scores.items():
                columns[person].update(_spread(own, spans[person], schedules[person].scored.ticks))
            release_memory()
        self._fuse({person: own for person, own in columns.items() if own})
        return columns

    def _fuse(self, columns: Mapping[int, Columns]) -> None:
        """Add the fused score (S,) to the columns of each person; their cues are read once."""
        from quavf.inference.measures import measure_faces

        ticks = [self.video.schedules[person].scored.ticks for person in columns]
        person = np.repeat(np.array([*columns], np.int64), [len(own) for own in ticks])  # (N,)
        times = np.concatenate([np.empty(0), *ticks]) / TICKS_PER_SECOND  # (N,)
        measures = measure_faces(self.video.store, self.video.clip, person, times)
        for number, own in columns.items():
            mine = {name: values[person == number] for name, values in measures.items()}
            own[FUSED] = self.fusion.fuse({**own, **mine})

    def _rows(self, scored: FaceTicks, columns: Columns) -> PersonScores:
        return PersonScores(
            time_s=scored.ticks / TICKS_PER_SECOND,
            frame=self.video.numbers[scored.pictures],
            box=scored.boxes,
            columns=columns if len(scored) else {},
        )

    def _boxes(self, person: int) -> PersonBoxes:
        boxes, _ = self.video.boxes_at(person, self.video.pictures)
        seen = ~np.isnan(boxes[:, 0])
        return PersonBoxes(self.video.numbers[seen], self.video.pictures[seen], boxes[seen])

    def _once(self, name: str, make: Callable[[], Columns]) -> Columns:
        """What `make` returns, from disk if an earlier run has saved it."""
        path = self.parts / f"{name}.npz"
        made: Columns = {}
        if path.is_file():
            try:
                made = load_arrays(path)
            except ValueError as error:
                log.warning("%s: cannot be read (%s); scoring again", path, error)
        if not made:
            before = sum(p.n_repaired for p in self.predictors.values())
            made = dict(make())
            made[REPAIRED] = np.array(sum(p.n_repaired for p in self.predictors.values()) - before)
            save_arrays(path, **made)
        self._n_repaired += int(made.pop(REPAIRED, 0))
        return made

    def _notes(self, data: ClipData) -> list[str]:
        """What went wrong or is missing, in plain words."""
        video = self.video
        notes = []
        n_samples = data.manifest.n_samples
        deaf = [name for name in self.predictors if not BRANCHES.get(name).uses_sound]
        fallback = "judged by the faces alone" if deaf else "so that nothing could be judged"
        if n_samples is None:
            notes.append(f"The video has no sound: {fallback}.")
        elif video.silent:
            judged = any(p.judges_silence for p in self.predictors.values())
            meaning = "nobody was heard to talk" if judged else fallback
            notes.append(f"The sound is silent throughout: {meaning}.")
        elif n_samples / SAMPLE_RATE < video.duration_s - SHORT_SOUND_S:
            notes.append(
                f"The sound ends at {n_samples / SAMPLE_RATE:.1f} s, before the pictures do "
                f"({video.duration_s:.1f} s): after that, {fallback}."
            )
        if len(video.pictures) == 1:
            notes.append("The video is a single picture: there is no one to follow in it.")
        elif not video.persons and video.file.fps < FEW_PICTURES:
            rate = f"{float(video.file.fps):.2g}"
            notes.append(f"Nobody could be followed: the video has only {rate} pictures a second.")
        elif not video.persons:
            notes.append("No faces were found in the video.")
        if len(video.cuts):
            notes.append(
                f"The video has {len(video.cuts)} camera cut{'s' * (len(video.cuts) != 1)}: a "
                "person may have got a new number after one."
            )
        if self._n_repaired:
            notes.append(
                f"{self._n_repaired:,} scores were not finite and took their neighbour's value: "
                "the model or its precision does not suit this video."
            )
        counted = sorted(data.manifest.notes.items())
        return notes + [f"In the file: {what} ({count})." for what, count in counted]


def _try_thumbnails(data: ClipData, quality: Floats) -> tuple[dict[int, bytes], list[str]]:
    """The thumbnails, or why there are none: they must not lose the scores."""
    try:
        return cut_thumbnails(data.store, data.clip, data.faces, quality), []
    except Exception as error:
        log.warning("no thumbnails: %s", error)
        return {}, [f"The thumbnails could not be made: {type(error).__name__}: {error}."]


def cut_thumbnails(store: ClipStore, clip: str, faces: Faces, quality: Floats) -> dict[int, bytes]:
    """The middle of each person's best crop by `quality` (N,), as JPEG."""
    merit = np.nan_to_num(quality)
    reader = CropReader(store, clip, faces)
    found = {}
    for person in faces.persons():
        own = faces.rows_of(person)
        picture = decode_jpeg(reader.read(own.start + int(np.argmax(merit[own]))))
        if picture is not None:
            margin = round(picture.shape[0] * (1 - THUMBNAIL_SHARE) / 2)
            middle = picture[margin:-margin, margin:-margin, ::-1]
            small = cv2.resize(middle, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
            found[person] = encode_jpeg(np.asarray(small, np.uint8))
    reader.close()
    return found


def score_step_s(rate: float, fps: Fraction) -> float:
    """Time between two scores, s, at `rate` scores a second; 0: one for each picture."""
    return 1 / rate if rate else max(1 / float(fps), 1 / TICKS_PER_SECOND)


def add_moments(result: VideoResult, config: MomentsConfig, step_s: float) -> VideoResult:
    """The result with the moments that these settings find in its scores.

    Notes count the people who can have none: their faces are too small, or never move.
    """
    small = find_small_faces(result, config)
    still = {p.number for p in result.persons if p.is_still and not config.still_faces} - small
    found: list[Moment] = []
    for person, rows in result.scores.items():
        if person not in small | still:
            found += find_moments(person, rows.time_s, rows[FUSED], step_s, config)
    end_s = result.duration_s
    found = [replace(m, end_s=min(m.end_s, end_s)) for m in found]
    ordered = tuple(sorted(found, key=lambda m: (m.start_s, m.person)))
    notes = [n for n in result.notes if TOO_SMALL not in n and NEVER_MOVE not in n]
    if small:
        notes.append(
            f"{_count_faces(small)} {TOO_SMALL} (under {config.min_face:g} pixels, or much smaller "
            "than the largest one): no moments for them."
        )
    if still:
        notes.append(f"{_count_faces(still)} {NEVER_MOVE}: no moments for them.")
    done = replace(result, moments=ordered, threshold=config.threshold, notes=tuple(notes))
    return add_stretches(done, step_s, config)


def _count_faces(persons: set[int]) -> str:
    return "1 person has a face" if len(persons) == 1 else f"{len(persons)} people have faces"


def _spread(columns: Columns, spans: Spans, ticks: Ints) -> Columns:
    """Columns (N,) at the ticks of spans, as columns (S,) at ascending `ticks`; else NaN."""
    at = np.searchsorted(ticks, np.concatenate([ticks[:0], *(own for _, own in spans)]))
    spread = {name: np.full(len(ticks), np.nan) for name in columns}
    for name, values in columns.items():
        spread[name][at] = values
    return spread


def _find_still(video: PreparedVideo) -> set[int]:
    """The persons whose face never moves, as far as the store has cues."""
    has_cues = video.store.has_cues(video.clip)
    return find_still_faces(video.store.cues(video.clip)) if has_cues else set()


def _seen_between(video: PreparedVideo, person: int) -> tuple[float, float]:
    times = video.persons[person - 1].times
    return float(times[0]), float(times[-1])
