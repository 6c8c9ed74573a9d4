"""Report pages of a dataset's clips: what a run shows of a video, with the labels beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import branch_names
from quavf.core.config import from_dict
from quavf.core.errors import ConfigError, ScoresError, StoreError
from quavf.core.names import is_safe_name
from quavf.core.records import WEARER, Floats, Segment
from quavf.report.index import IndexEntry, write_index
from quavf.report.video import REPORT_FILE, write_report
from quavf.report.words import Summary, summarise
from quavf.results.config import MomentsConfig
from quavf.results.records import Moment, Person, PersonBoxes, PersonScores
from quavf.results.scores import Scores, read_config, read_scores
from quavf.results.stretches import describe_unread
from quavf.results.video import VideoResult
from quavf.sources.ego4d import media_path
from quavf.store import ClipStore, Faces, Manifest
from quavf.utils.progress import show_progress
from quavf.video.scoring import add_moments, cut_thumbnails

log = logging.getLogger(__name__)

PAGES = "clips"  # folder of the clips' pages, a folder each
UNKNOWN_SIZE = (16, 9)  # shape of the picture where a store does not tell it


@dataclass(frozen=True)
class ClipReports:
    """The page that lists all reports, and how many clips came without their video."""

    index: Path
    clips: int
    without_video: int


def report_clips(
    scores: Path | str,
    store: Path | str,
    out: Path | str,
    clips: Path | str | None = None,
    moments: MomentsConfig | None = None,
) -> ClipReports:
    """Write the page that `quavf run` makes, with the labels beside, for every clip of the scores.

    `clips` is the folder of the videos, `<clip>.mp4`: each is put beside its page. Without it the
    pages have no video. `moments` default to those of the weights that made the scores. Writes
    `report.html`, which lists all, and `clips/<clip>/`. Raises ScoresError when scores and store do
    not belong together.
    """
    work = _Reports(
        read_scores(Path(scores)),
        ClipStore.open(Path(store)),
        _find_folder(clips),
        moments or read_moments_config(scores),
        read_config(Path(scores)),
    )
    return work.write(Path(out))


def iterate_clips(
    scores: Path | None, store: Path, clips: Path | None = None
) -> Iterator[tuple[str, VideoResult]]:
    """The results of all clips by name, without pictures of people; `scores` None: labels alone.

    `clips` is the folder of the videos. Raises as `report_clips` does.
    """
    opened = ClipStore.open(store)
    found = Scores.empty() if scores is None else read_scores(scores)
    moments = MomentsConfig() if scores is None else read_moments_config(scores)
    made = {} if scores is None else read_config(scores)
    work = _Reports(found, opened, _find_folder(clips), moments, made)
    names = sorted(opened.clips() if scores is None else {str(clip) for clip in found.clip})
    for clip in names:
        video = None if work.folder is None else media_path(work.folder, clip)
        yield clip, work.result(clip, video, with_pictures=False)


def _find_folder(clips: Path | str | None) -> Path | None:
    """The folder of the videos. Raises ConfigError if it does not exist."""
    folder = None if clips is None else Path(clips)
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"--clips {folder}: no such folder; pass the one that holds <clip>.mp4")
    return folder


def read_moments_config(scores: Path | str) -> MomentsConfig:
    """How the fused scores of a folder become moments, as the weights that made them say.

    Raises ConfigError if the folder says it in a way that cannot be used.
    """
    content = read_config(Path(scores)).get("moments") or {}
    return from_dict(MomentsConfig, content, f"{scores}: moments")


@dataclass(frozen=True)
class _Reports:
    scores: Scores
    store: ClipStore
    folder: Path | None  # of the videos
    moments: MomentsConfig
    made: dict[str, Any]  # how the scores were

    def write(self, out: Path) -> ClipReports:
        names = sorted({str(clip) for clip in self.scores.clip})
        without, entries = 0, []
        with show_progress("Writing reports", len(names)) as bar:
            for clip in names:
                summary, has_video = self._page(clip, out / PAGES / clip)
                without += not has_video
                entries.append(IndexEntry(clip, f"{PAGES}/{clip}/{REPORT_FILE}", summary))
                bar.advance(1)
        if self.folder is not None and without:
            log.warning("%s: %d of %d clips have no video here", self.folder, without, len(names))
        count = "One clip" if len(names) == 1 else f"{len(names):,} clips"
        lede = f"{count}: what was found, beside what the labels say."
        index = write_index(out / REPORT_FILE, "Clip by clip", lede, entries)
        return ClipReports(index, len(names), without)

    def _page(self, clip: str, out: Path) -> tuple[Summary, bool]:
        """Write one clip's page; what it says, and whether it has the video."""
        video = None if self.folder is None else media_path(self.folder, clip)
        has_video = video is not None and video.is_file()
        result = self.result(clip, video)
        write_report(result, out, with_video=has_video)
        return summarise(result), has_video

    def result(self, clip: str, video: Path | None, with_pictures: bool = True) -> VideoResult:
        """The result of one clip by its scores, with its labels and a picture of each person."""
        if not is_safe_name(clip) or not self.store.has_clip(clip):
            raise ScoresError(
                f"{self.store.path}: clip {clip!r} of the scores is not in this store; evaluate "
                "on the store that was predicted on"
            )
        manifest, faces = self.store.manifest(clip), self.store.faces(clip)
        scored = self._collect_scores(clip, faces)
        labels = [s for s in manifest.segments if s.person > WEARER]
        numbers = sorted({*scored, *(s.person for s in labels)})
        seen = {p: faces.time_s[faces.rows_of(p)] for p in numbers}
        pictures: dict[int, bytes] = {}
        if with_pictures:
            pictures = cut_thumbnails(self.store, clip, faces, self._quality(clip, len(faces)))
        result = VideoResult(
            video=Path(clip) if video is None else video,
            duration_s=_duration_s(manifest, faces),
            fps=manifest.clock.fps,
            frame_size=manifest.frame_size or UNKNOWN_SIZE,
            persons=tuple(_person(p, seen[p], pictures.get(p, b"")) for p in numbers),
            scores=scored,
            boxes={p: _boxes(faces, p) for p in numbers},
            truth=_find_labelled(labels, manifest, 1),
            others=_find_labelled(labels, manifest, 0),
            models=self._models(),
            notes=tuple(_notes(numbers, scored)),
            has_sound=manifest.n_samples is not None,
            fusion=str((self.made.get("fusion") or {}).get("kind", "published")),
        )
        step_s = 1 / float(manifest.clock.fps)
        notes = (*result.notes, *describe_unread(result, step_s))
        return add_moments(replace(result, notes=notes), self.moments, step_s)

    def _collect_scores(self, clip: str, faces: Faces) -> dict[int, PersonScores]:
        """The scores of each person of a clip, with the box and the time of each face."""
        own = self.scores.take((self.scores.clip == clip) & (self.scores.person > WEARER)).sorted()
        row_of = faces.row_of()
        found = {}
        for person in np.unique(own.person).tolist():
            rows = own.take(own.person == person)
            try:
                at = [row_of[person, frame] for frame in rows.frame.tolist()]
            except KeyError as error:
                raise ScoresError(
                    f"{self.store.path}: clip {clip} has no face of person, frame {error} of the "
                    "scores; evaluate on the store that was predicted on"
                ) from None
            found[person] = PersonScores(faces.time_s[at], rows.frame, faces.box[at], rows.columns)
        return found

    def _quality(self, clip: str, n_faces: int) -> Floats:
        """(N,) of the scorer that the scores were made with, or of any that there is."""
        scorers = self.store.scorers()
        asked = self.made.get("quality")
        for scorer in [asked, *scorers] if asked in scorers else scorers:
            try:
                return self.store.quality(clip, scorer)
            except StoreError as error:
                log.warning("%s", error)
        return np.zeros(n_faces)

    def _models(self) -> dict[str, str]:
        """The names of what made the scores, as far as their configuration tells."""
        models = {}
        for name in branch_names():
            branch = self.made.get(name)
            if isinstance(branch, dict) and branch.get("checkpoint"):
                models[name] = Path(str(branch["checkpoint"])).name
        if self.made.get("quality"):
            models["quality"] = str(self.made["quality"])
        return models


def _duration_s(manifest: Manifest, faces: Faces) -> float:
    """To the end of the sound, the last face and the last label."""
    ends = [
        (manifest.n_samples or 0) / manifest.clock.sample_rate,
        *(manifest.clock.frame_to_s(s.last_frame + 1) for s in manifest.segments),
    ]
    if len(faces):
        ends.append(manifest.clock.frame_to_s(int(faces.frame.max()) + 1))
    return max(ends)


def _find_labelled(labels: Sequence[Segment], manifest: Manifest, label: int) -> tuple[Moment, ...]:
    """The labelled stretches of one kind, by start."""
    to_s = manifest.clock.frame_to_s
    found = [
        Moment(s.person, to_s(s.start_frame), to_s(s.last_frame + 1))
        for s in set(labels)
        if s.label == label
    ]
    return tuple(sorted(found, key=lambda m: (m.start_s, m.person, m.end_s)))


def _person(number: int, seen_s: Floats, thumbnail: bytes) -> Person:
    first, last = (float(seen_s[0]), float(seen_s[-1])) if len(seen_s) else (0.0, 0.0)
    return Person(number, first, last, thumbnail)


def _boxes(faces: Faces, person: int) -> PersonBoxes:
    own = faces.rows_of(person)
    return PersonBoxes(faces.frame[own], faces.time_s[own], faces.box[own])


def _notes(numbers: Sequence[int], scored: dict[int, PersonScores]) -> list[str]:
    notes = ["Only labelled stretches in which the face is seen have scores."]
    missing = [f"{p}" for p in numbers if p not in scored]
    if missing:
        notes.append(f"Labelled, but without a face to score: person {', '.join(missing)}.")
    return notes
