"""Prepare a clip store from a source: annotations and media become crops and sound."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import MediaError, QuavfError, StoreError
from quavf.core.records import (
    ClipRecord,
    CroppedClip,
    Intervals,
    Unlabelled,
)
from quavf.core.semantics import FIXED
from quavf.sources.config import ChallengeConfig, Ego4dConfig
from quavf.sources.registry import CHALLENGE, EGO4D, SOURCES
from quavf.store import ClipStore, Manifest, StoreConfig
from quavf.utils.failures import describe_failure
from quavf.utils.files import config_hash, write_json
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress
from quavf.workflows.write_clip import write_clip

log = logging.getLogger(__name__)

ERRORS = "errors"  # folder of the store, for tracebacks of clips that failed


@dataclass
class PrepareSummary:
    """Content of a store after `prepare`, with counts of what was dropped or corrected."""

    store: Path
    clips: int = 0
    segments: int = 0
    positive_segments: int = 0
    crops: int = 0
    clips_by_split: dict[str, int] = field(default_factory=dict)
    sound_hours: float = 0.0
    notes: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # clip: why it is not in the store
    skipped: int = 0  # finished before this run

    def to_json(self) -> dict[str, Any]:
        """The part that does not depend on how often `prepare` ran."""
        content = {**self.__dict__}
        del content["store"], content["skipped"]
        return content


def prepare_source(
    source: str, store: Path, config: Any, engine: EngineConfig | None = None
) -> PrepareSummary:
    """Put the face crops and the sound of all clips of a source into a store.

    `config` is an instance of the source's config dataclass. Finished clips are skipped, changed
    ones are made again. Clips whose media is missing or unreadable are counted and left out.
    Raises ConfigError when no source has that name, StoreError when no clip is left.
    """
    index = SOURCES.get(source).read_index(config)
    jobs = [_Job(r.clip, _fingerprint(r), r) for r in index.records]
    target = ClipStore.create(Path(store), StoreConfig(source, index.semantics, index.framing))
    with target.lock():
        return _prepare(target, jobs, Counter(index.notes), engine)


def prepare_ego4d(
    annotations: Path,
    clips: Path,
    store: Path,
    semantics: str = FIXED.name,
    splits: Path | None = None,
    engine: EngineConfig | None = None,
    *,
    semantics_name: str | None = None,
) -> PrepareSummary:
    """Cut the face crops and the sound of all clips annotated by Ego4D into a store.

    `annotations` holds `av_train.json` and `av_val.json`, `clips` one `<clip_uid>.mp4` each.
    See `prepare_source`.
    """
    if semantics_name is not None:
        warnings.warn("semantics_name: use semantics", DeprecationWarning, stacklevel=2)
        semantics = semantics_name
    config = Ego4dConfig(Path(annotations), Path(clips), semantics, splits)
    return prepare_source(EGO4D.name, store, config, engine)


def prepare_challenge(
    root: Path, store: Path, engine: EngineConfig | None = None
) -> PrepareSummary:
    """Take the challenge's test segments into a store: pictures as they are, no labels."""
    return prepare_source(CHALLENGE.name, store, ChallengeConfig(Path(root)), engine)


@dataclass(frozen=True)
class _Job:
    """A clip to write; the fingerprint changes when its annotations or media change."""

    clip: str
    fingerprint: str
    record: ClipRecord | CroppedClip

    def __str__(self) -> str:
        return f"clip {self.clip}"


def _fingerprint(record: ClipRecord | CroppedClip) -> str:
    if isinstance(record, CroppedClip):
        return record.fingerprint
    size = record.media.stat().st_size if record.media.is_file() else None
    return config_hash([record.fingerprint, record.split, size])


@dataclass(frozen=True)
class _Outcome:
    """The number of decoded pictures, or why the clip is not in the store."""

    n_frames: int = 0
    error: str = ""


def _write(store: ClipStore, job: _Job) -> _Outcome:
    """Put a clip into the store; what is wrong with a clip is reported, not raised."""
    try:
        return _Outcome(write_clip(store, job.fingerprint, job.record))
    except MediaError as error:
        return _Outcome(error=str(error))
    except QuavfError:  # of the store, such as a full disk: no fault of this clip
        raise
    except Exception as error:  # of any kind: the other clips are still prepared
        return _Outcome(error=describe_failure(error, store.path / ERRORS / f"{job.clip}.log"))


def _prepare(
    store: ClipStore,
    jobs: list[_Job],
    index_notes: Counter[str],
    engine: EngineConfig | None,
) -> PrepareSummary:
    """Write all missing clips, then summarise the store."""
    summary = PrepareSummary(store.path)
    known = {job.clip for job in jobs}
    foreign = [clip for clip in store.finished_clips() if clip not in known]
    if foreign:
        raise StoreError(
            f"{store.path}: holds {len(foreign)} clips that this source does not have (the "
            f"first: {foreign[0]}); choose another --store, or delete this one"
        )
    shutil.rmtree(store.path / ERRORS, ignore_errors=True)
    with show_progress("Preparing", len(jobs)) as bar:
        is_current = [store.is_current(job.clip, job.fingerprint) for job in jobs]
        missing = [job for job, current in zip(jobs, is_current, strict=True) if not current]
        summary.skipped = len(jobs) - len(missing)
        _update_intervals(store, compress(jobs, is_current))
        bar.advance(summary.skipped)
        for done in run_each(partial(_write, store), missing, engine):
            clip, outcome = done.item.clip, done.result
            if outcome.error:
                summary.failed[clip] = outcome.error
                if store.has_clip(clip):
                    summary.failed[clip] += " (an older version of this clip is in the store)"
                log.warning("clip %s is left out: %s", clip, summary.failed[clip])
            bar.advance(1, outcome.n_frames)
    summary.failed = dict(sorted(summary.failed.items()))
    return summarise(store, summary, index_notes)


def _update_intervals(store: ClipStore, jobs: Iterable[_Job]) -> None:
    """Label speaking and looking in clips that an earlier version prepared without them.

    Their crops and sound do not depend on these labels.
    """
    for job in jobs:
        manifest, record = store.manifest(job.clip), job.record
        if _intervals(manifest) != _intervals(record):
            store.write_intervals(job.clip, *_intervals(record))


def _intervals(
    holder: Manifest | ClipRecord | CroppedClip,
) -> tuple[Intervals, Intervals, Unlabelled]:
    unlabelled = {kind: stretches for kind, stretches in holder.unlabelled.items() if stretches}
    return holder.speaking, holder.looking, unlabelled


def summarise(
    store: ClipStore, summary: PrepareSummary, index_notes: Counter[str]
) -> PrepareSummary:
    """Count what a store holds; also written to its `summary.json`."""
    notes, by_split = Counter(index_notes), Counter[str]()
    for clip in store.clips():
        manifest = store.manifest(clip)
        labelled = [s for s in manifest.segments if s.person > 0]
        summary.clips += 1
        summary.segments += len(labelled)
        summary.positive_segments += sum(s.label for s in labelled)
        summary.crops += manifest.n_crops
        summary.sound_hours += (manifest.n_samples or 0) / SAMPLE_RATE / 3600
        by_split[manifest.split] += 1
        notes.update(manifest.notes)
        notes["clips without sound"] += manifest.n_samples is None
    if not summary.clips:
        first = next(iter(summary.failed.values()), "the source has none")
        raise StoreError(f"{store.path}: no clip could be prepared ({first})")
    summary.clips_by_split = dict(sorted(by_split.items()))
    summary.notes = dict(sorted((+notes).items()))
    summary.sound_hours = round(summary.sound_hours, 4)
    write_json(store.path / "summary.json", summary.to_json())
    return summary
