"""A prepared video becomes a result: both branches at the scored times, fused, with moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND
from quavf.core.records import Floats, Ints
from quavf.core.windows import WINDOW_TICKS
from quavf.faces.crop import decode_jpeg, encode_jpeg
from quavf.results.config import MomentsConfig
from quavf.results.fusion import fuse_columns
from quavf.results.moments import find_moments
from quavf.results.video import Moment, Person, PersonBoxes, PersonScores, VideoResult
from quavf.store import ClipStore, CropReader, Faces
from quavf.utils.files import replace_file
from quavf.utils.memory import release_memory
from quavf.utils.progress import show_progress
from quavf.video.prepared import PreparedVideo
from quavf.video.schedule import FaceTicks, PersonSchedule

if TYPE_CHECKING:
    from quavf.inference.predict import AudioPredictor, ClipData, VisualPredictor

THUMBNAIL = 160  # pixels, both sides
THUMBNAIL_SHARE = 0.7  # of a crop's side, which is twice the face's
SHORT_SOUND_S = 1.0  # sound that ends so much before the pictures is worth a note


@dataclass
class VideoScoring:
    """Scores one prepared video; `parts` keeps what is done, so that an interrupted run goes on.

    Either branch may be None.
    """

    video: PreparedVideo
    audio: AudioPredictor | None
    visual: VisualPredictor | None
    scorer: str  # of face quality, which has scored the store
    parts: Path

    def result(self, moments: MomentsConfig, models: dict[str, str]) -> VideoResult:
        """Everything that the video shows."""
        from quavf.inference.predict import ClipData

        video, file = self.video, self.video.file
        data = ClipData(video.store, video.clip)
        schedules = video.schedules
        heard = self._heard(data, {p: s.scored.ticks for p, s in schedules.items()})
        release_memory()
        seen = self._seen(data, schedules)
        release_memory()
        scores = {p: self._rows(s.scored, heard[p], *seen[p]) for p, s in schedules.items()}
        pictures = self._thumbnails(data)
        result = VideoResult(
            video=file.path,
            duration_s=video.duration_s,
            fps=file.fps,
            frame_size=file.size,
            persons=tuple(
                Person(p, *_seen_between(video, p), pictures.get(p, b"")) for p in schedules
            ),
            scores=scores,
            boxes={p: self._boxes(p) for p in schedules},
            models=models,
            has_sound=data.manifest.n_samples is not None,
        )
        return replace(with_moments(result, moments, self._step_s), notes=tuple(self._notes(data)))

    @property
    def _step_s(self) -> float:
        return step_s(self.video.config.rate, self.video.file.fps)

    def _rows(
        self, scored: FaceTicks, audio: Floats, visual: Floats, quality: Floats
    ) -> PersonScores:
        columns = {"audio": audio, "visual": visual, "quality": quality}
        return PersonScores(
            time_s=scored.ticks / TICKS_PER_SECOND,
            frame=self.video.numbers[scored.pictures],
            box=scored.boxes,
            columns={**columns, "fused": fuse_columns(columns)},
        )

    def _boxes(self, person: int) -> PersonBoxes:
        boxes, _ = self.video.boxes_at(person, self.video.pictures)
        seen = ~np.isnan(boxes[:, 0])
        return PersonBoxes(self.video.numbers[seen], self.video.pictures[seen], boxes[seen])

    def _heard(self, data: ClipData, ticks: dict[int, Ints]) -> dict[int, Floats]:
        """By person (S,) scores of the audio branch; persons seen at once share them."""
        wanted = np.unique(np.concatenate([*ticks.values(), _NONE]))
        scores = np.full(len(wanted), np.nan)
        if self.audio is not None and self._is_audible(data) and len(wanted):
            audio = self.audio

            def listen() -> dict[str, Floats]:
                n_windows = len(np.unique(wanted // WINDOW_TICKS))
                with show_progress("Listening", n_windows, unit="windows of 30 s") as bar:
                    return {"audio": audio.ticks(data, wanted, lambda n: bar.advance(n))}

            scores = self._once("audio", listen)["audio"]
        return {p: scores[np.searchsorted(wanted, own)] for p, own in ticks.items()}

    def _seen(
        self, data: ClipData, schedules: dict[int, PersonSchedule]
    ) -> dict[int, tuple[Floats, Floats]]:
        """By person (S,) scores of the visual branch and (S,) qualities of its windows."""
        seen = {}
        with show_progress("Looking", len(schedules), unit="persons", inner="faces") as bar:
            for person, schedule in schedules.items():
                n_faces = len(schedule.scored)
                missing = np.full(n_faces, np.nan)
                seen[person] = (missing, missing)
                if self.visual is not None and n_faces:
                    looked = self._once(f"visual-{person}", self._look(data, schedule))
                    seen[person] = (looked["visual"], looked["quality"])
                bar.advance(1, n_faces)
        return seen

    def _look(self, data: ClipData, schedule: PersonSchedule) -> Callable[[], dict[str, Floats]]:
        visual = self.visual
        assert visual is not None

        def look() -> dict[str, Floats]:
            scores, qualities = zip(*visual.centres(data, schedule.spans), strict=True)
            return {"visual": np.concatenate(scores), "quality": np.concatenate(qualities)}

        return look

    def _once(self, name: str, make: Callable[[], dict[str, Floats]]) -> dict[str, Floats]:
        """What `make` gives, from disk when an earlier run has done it."""
        path = self.parts / f"{name}.npz"
        if path.is_file():
            with np.load(path) as content:
                return {key: content[key] for key in content.files}
        made = make()
        with replace_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **made)  # type: ignore[arg-type]
        return made

    def _is_audible(self, data: ClipData) -> bool:
        """Whether the audio branch can judge: silence only where it was trained on it."""
        knows_silence = self.audio is not None and self.audio.branch.settings.context == "clip"
        return data.manifest.n_samples is not None and (knows_silence or not self.video.silent)

    def _thumbnails(self, data: ClipData) -> dict[int, bytes]:
        quality = data.store.quality(data.clip, self.scorer)
        return thumbnails(data.store, data.clip, data.faces, quality)

    def _notes(self, data: ClipData) -> list[str]:
        """What went wrong or is missing, in plain words."""
        video = self.video
        notes = []
        n_samples = data.manifest.n_samples
        alone = "judged by the faces alone" if self.visual else "so that nothing could be judged"
        if n_samples is None:
            notes.append(f"The video has no sound: {alone}.")
        elif video.silent:
            heard = "nobody was heard to talk" if self._is_audible(data) else alone
            notes.append(f"The sound is silent throughout: {heard}.")
        elif n_samples / SAMPLE_RATE < video.duration_s - SHORT_SOUND_S:
            notes.append(
                f"The sound ends at {n_samples / SAMPLE_RATE:.1f} s, before the pictures do "
                f"({video.duration_s:.1f} s): after that, {alone}."
            )
        if len(video.pictures) == 1:
            notes.append("The video is a single picture: there is no one to follow in it.")
        elif not video.persons:
            notes.append("No faces were found in the video.")
        if len(video.cuts):
            notes.append(
                f"The video has {len(video.cuts)} camera cut{'s' * (len(video.cuts) != 1)}: a "
                "person may have got a new number after one."
            )
        counted = sorted(data.manifest.notes.items())
        return notes + [f"In the file: {what} ({count})." for what, count in counted]


_NONE = np.empty(0, np.int64)


def thumbnails(store: ClipStore, clip: str, faces: Faces, quality: Floats) -> dict[int, bytes]:
    """By person the middle of the crop whose face can be seen best, as JPEG; `quality` (N,)."""
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


def step_s(rate: float, fps: Any) -> float:
    """Time between two scores, s."""
    return 1 / rate if rate else max(1 / float(fps), 1 / TICKS_PER_SECOND)


def with_moments(result: VideoResult, config: MomentsConfig, step_s: float) -> VideoResult:
    """The same result with the moments that these settings make of its scores."""
    found: list[Moment] = []
    for person, rows in result.scores.items():
        found += find_moments(person, rows.time_s, rows.fused, step_s, config)
    end_s = result.duration_s
    found = [replace(m, end_s=min(m.end_s, end_s)) for m in found]
    ordered = tuple(sorted(found, key=lambda m: (m.start_s, m.person)))
    return replace(result, moments=ordered, threshold=config.threshold)


def _seen_between(video: PreparedVideo, person: int) -> tuple[float, float]:
    times = video.persons[person - 1].times
    return float(times[0]), float(times[-1])
