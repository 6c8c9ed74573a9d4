"""Give every crop of a store a quality score, computed or imported."""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.errors import AnnotationError, ConfigError, StoreError
from quavf.core.names import is_safe_name
from quavf.core.records import Floats, Image
from quavf.core.semantics import get_semantics
from quavf.faces.crop import quality_region
from quavf.faces.quality.scorer import NetworkRunner, QualityScorer, open_scorer
from quavf.inference.config import InferenceConfig
from quavf.store import ClipStore, CropReader, Faces
from quavf.utils.files import config_hash, read_json
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress
from quavf.workflows.clip_rows import PartialRows, compute_rows, read_crop, repeat_if_replaced

log = logging.getLogger(__name__)

CHUNK = 32  # crops in memory at once; a close face in 4K video takes 4 MB
QUALITY_INFERENCE = InferenceConfig(device="cpu", batch_size=8)
RENAMED = ("device", "batch_size", "runtime", "precision")  # now in InferenceConfig


@dataclass(frozen=True)
class QualitySummary:
    """The scores of a store by one scorer; quantiles are over all crops."""

    scorer: str
    clips: int
    crops: int
    without_score: int
    quantiles: dict[str, float]
    notes: dict[str, int]


def score_quality(
    store: Path,
    scorer: str = "light",
    weights: Path | None = None,
    config: InferenceConfig | None = None,
    engine: EngineConfig | None = None,
    **renamed: Any,
) -> QualitySummary:
    """Score every crop of a store for how well its face can be seen.

    `scorer`: `fan` (published; downloads a network, or takes `weights`, a file) or `light` (no
    download). `config` says how its network runs; by default on the CPU, 8 faces per batch. Clips
    that this scorer has scored with the same settings are skipped; an interrupted run resumes.
    Raises ConfigError for a runtime or precision that the scorer has no network for.

    The keywords `device`, `batch_size`, `runtime` and `precision` are deprecated; set them in
    `config`.
    """
    config = _with_renamed(config or QUALITY_INFERENCE, renamed)
    clips = ClipStore.open(Path(store))
    clips.remove_table_leftovers()
    score = _Scoring(clips, scorer, weights, config)
    judge, notes, names = score.judge, Counter[str](), _list_clips(clips)
    missing = [clip for clip in names if not clips.has_quality(clip, judge.name, judge.settings)]
    with show_progress("Scoring faces", len(names), inner="faces") as bar:
        bar.advance(len(names) - len(missing))
        score.report = lambda n_faces: bar.advance(0, n_faces)
        for done in run_each(score, missing, engine, gpu=config.device != "cpu"):
            notes += done.result
            bar.advance(1)
    return _summarise(clips, judge.name, notes)


def _list_clips(store: ClipStore) -> list[str]:
    """All clips of a store. Raises StoreError if it has none."""
    if clips := store.clips():
        return clips
    raise StoreError(f"{store.path}: no clip in this store; fill it with `quavf prepare`")


class _Scoring:
    """Scores clips with a scorer that is opened once in each process."""

    def __init__(
        self, store: ClipStore, scorer: str, weights: Path | None, config: InferenceConfig
    ) -> None:
        self._settings = store, scorer, weights, config
        self.store = store
        self.judge = _open(scorer, weights, config)
        self.report: Callable[[int], None] = lambda n_faces: None

    def __reduce__(self) -> tuple[type[_Scoring], tuple[Any, ...]]:
        return _Scoring, self._settings

    def __call__(self, clip: str) -> Counter[str]:
        """Write the clip's scores and return counts of its faults."""
        return repeat_if_replaced(self.store, clip, partial(self._score, clip))

    def _score(self, clip: str, fingerprint: str) -> Counter[str]:
        notes: Counter[str] = Counter()
        run = _ClipScoring(self.store, clip, fingerprint, self.judge, self.report)
        scores, name = run.scores(notes), self.judge.name
        self.store.write_quality(clip, name, scores, self.judge.settings, fingerprint)
        run.partial.remove()
        return notes


def _open(scorer: str, weights: Path | None, config: InferenceConfig) -> QualityScorer:
    """Load a scorer; torch, which some do without, only where the options need it."""
    runner = None
    if config.device == "auto" or config.threads:
        from quavf.inference.loading import resolve_device
        from quavf.models.devices import use_threads

        config = resolve_device(config)
        use_threads(config.threads)
    if config.runtime == "openvino" or config.precision != "fp32":
        from quavf.inference.loading import run_network

        runner = NetworkRunner(partial(run_network, config=config), config.precision)
    return open_scorer(
        scorer,
        weights=weights,
        device=config.device,
        batch_size=config.batch_size,
        runner=runner,
    )


def _with_renamed(config: InferenceConfig, renamed: dict[str, Any]) -> InferenceConfig:
    """Take the deprecated keywords of `score_quality` into the config."""
    for name in renamed:
        if name not in RENAMED:
            raise TypeError(f"score_quality() got an unexpected keyword argument {name!r}")
    if renamed:
        warnings.warn(
            f"score_quality: {', '.join(renamed)} are deprecated; use config=InferenceConfig(...)",
            DeprecationWarning,
            stacklevel=3,
        )
    return replace(config, **renamed)


class _ClipScoring:
    """Scores one clip and saves partial results regularly."""

    def __init__(
        self,
        store: ClipStore,
        clip: str,
        fingerprint: str,
        judge: QualityScorer,
        report: Callable[[int], None],
    ) -> None:
        self.judge, self.report = judge, report
        self.faces, self.confidences = store.faces(clip), store.confidences(clip)
        self.reader = CropReader(store, clip, self.faces)
        self.semantics = get_semantics(store.config.semantics)
        key = config_hash([judge.name, judge.settings, fingerprint])
        self.partial = PartialRows(store.folder(clip) / "quality", judge.name, key)

    def scores(self, notes: Counter[str]) -> Floats:
        """(N,) scores of the clip's crops; 0 for those that show nothing."""
        done = compute_rows(
            len(self.faces), CHUNK, lambda rows: self._chunk(rows, notes), self.partial
        )
        self.reader.close()
        return done

    def _chunk(self, rows: range, notes: Counter[str]) -> Floats:
        regions = [self._region(row) for row in rows]
        seen = [k for k, region in enumerate(regions) if region is not None]
        notes["faces without any pixel, scored 0"] += len(regions) - len(seen)
        scores = np.zeros(len(regions))
        if seen:
            sure = None if self.confidences is None else self.confidences[rows.start :][seen]
            scores[seen] = self.judge.score([r for r in regions if r is not None], sure)
        self.report(len(regions))
        return scores

    def _region(self, row: int) -> Image | None:
        picture = read_crop(self.reader, row)
        return quality_region(picture, self.faces.geometry(row), self.semantics)


def import_quality(store: Path, path: Path, scorer: str = "imported") -> QualitySummary:
    """Take scores from a file in the published format, under the name `scorer`.

    `{clip: {person: {frame: score}}}` or, for challenge segments, `{segment: {frame: score}}`.
    Crops that the file does not score, and scores for crops that are not there, are counted;
    scores over 1 are taken as 1. Raises AnnotationError when nothing fits.
    """
    if not is_safe_name(scorer):
        raise ConfigError(f"scorer: {scorer!r} cannot name a file; use letters, digits, _ and -")
    clips, content = ClipStore.open(Path(store)), read_json(Path(path))
    if not isinstance(content, dict):
        raise AnnotationError(
            f"{path}: expected {{clip: {{person: {{frame: score}}}}}}, or {{segment: {{frame: "
            f"score}}}} for a challenge store; found a {type(content).__name__}"
        )
    notes: Counter[str] = Counter()
    columns, versions = {}, {}
    for clip in _list_clips(clips):
        versions[clip] = clips.fingerprint(clip)
        columns[clip] = _read_clip_scores(path, clip, content.get(clip), clips.faces(clip), notes)
    notes["clips in the file that are not in the store"] = len(set(content) - set(columns))
    notes["clips in the store that are not in the file"] = len(set(columns) - set(content))
    if columns and all(np.isnan(scores).all() for scores in columns.values()):
        raise AnnotationError(f"{path}: not one of its scores belongs to a crop of {store}")
    settings = {"imported": config_hash(content)}
    for clip, scores in columns.items():
        clips.write_quality(clip, scorer, scores, settings, versions[clip])
    for note, count in sorted((+notes).items()):
        log.warning("%s: %s: %d", path, note, count)
    return _summarise(clips, scorer, notes)


def _read_clip_scores(
    path: Path, clip: str, table: Any, faces: Faces, notes: Counter[str]
) -> Floats:
    """(N,) scores of a clip's crops from the file, NaN where there is none."""
    scores = np.full(len(faces), np.nan)
    if table is None:
        return scores
    row_of = faces.row_of()
    persons = faces.persons()
    if not isinstance(table, dict):
        raise AnnotationError(f"{path}: {clip}: expected an object of scores, found {table!r:.60}")
    for key, value in table.items():
        inner = value.items() if isinstance(value, dict) else [(key, value)]
        if not isinstance(value, dict) and len(persons) > 1:
            raise AnnotationError(
                f"{path}: {clip}: {key!r} should hold one person's scores, {{frame: score}}, found "
                f"{value!r:.60}; the clip shows persons {', '.join(map(str, persons))}"
            )
        person = key if isinstance(value, dict) else (persons or [1])[0]
        for frame, score in inner:
            where = f"{path}: {clip}: person {person}: frame {frame}"
            row = row_of.get((_integer(person, where), _integer(frame, where)))
            if row is None:
                notes["scores for crops that are not in the store"] += 1
            else:
                scores[row] = _score(score, where, notes)
    return scores


def _integer(value: Any, where: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise AnnotationError(f"{where}: {value!r} is not a whole number") from None


def _score(value: Any, where: str, notes: Counter[str]) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:  # also false for NaN
        raise AnnotationError(f"{where}: the score should be a number from 0 to 1, found {value!r}")
    notes["scores over 1, taken as 1"] += value > 1
    return float(min(value, 1))


def _summarise(store: ClipStore, scorer: str, notes: Counter[str]) -> QualitySummary:
    columns = [store.quality(clip, scorer) for clip in store.clips()]
    scores = np.concatenate([*columns, np.empty(0)])
    known = scores[~np.isnan(scores)]
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = np.quantile(known, levels).tolist() if len(known) else [math.nan] * len(levels)
    return QualitySummary(
        scorer=scorer,
        clips=len(columns),
        crops=len(scores),
        without_score=len(scores) - len(known),
        quantiles={f"{level:.0%}": value for level, value in zip(levels, quantiles, strict=True)},
        notes=dict(+notes),
    )
