"""Import predictions in the published format: aPred.json and vPred.json become a scores folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import BRANCHES, FUSED, QUALITY, branch_names
from quavf.core.errors import ConfigError, ScoresError
from quavf.core.records import Array, Floats
from quavf.core.windows import WindowConfig, span_windows, spans
from quavf.evaluation.submission import Row, is_probability, parse_row
from quavf.results.fusion import PUBLISHED, FusionCounts, count_branches
from quavf.results.scores import Scores, concatenate, write_scores
from quavf.store import ClipStore, Faces
from quavf.store.scorers import choose_scorer
from quavf.utils.files import read_json

log = logging.getLogger(__name__)

PUBLISHED_SCORER = "fan"  # the quality scorer of the published predictions


@dataclass(frozen=True)
class ImportSummary:
    """The content of an imported scores folder, counted."""

    scores: Path
    clips: int  # with a score
    rows: int
    branches: FusionCounts
    scorer: str  # of the quality; empty: none
    unknown: dict[str, int]  # by branch: rows of the file without a face in the store
    without_score: int  # faces of the store


def import_scores(
    path: Path | str, store: Path | str, out: Path | str, branch: str, quality: str = ""
) -> ImportSummary:
    """Make a scores folder from one branch's predictions in the published format.

    `path` is an `aPred.json` (`branch` "audio"), a `vPred.json` ("visual"), or a file like these
    for another branch: `{"results": [{"video_id", "frame_id", "label", "score"}]}`. `store` holds
    the clips; rows without a face there are counted and left out. With visual scores comes the
    quality of the published windows, computed from the crop scores of the scorer `quality`
    (default: fan, or the only one in the store); without any, the column stays empty. `fuse` joins
    the folders of two branches. Raises ScoresError that names file and entry.
    """
    return import_branches({branch: path}, store, out, quality)


def import_branches(
    files: Mapping[str, Path | str], store: Path | str, out: Path | str, quality: str = ""
) -> ImportSummary:
    """Import the scores of several branches, by name, and fuse them; see `import_scores`."""
    unknown = sorted(set(files) - set(branch_names()))
    if unknown:
        raise ConfigError(
            f"import: no branch {unknown[0]!r}; there are {', '.join(branch_names())}"
        )
    if not files:
        options = ", ".join(f"--{name}" for name in branch_names())
        raise ConfigError(f"import: give a file with {options}, or several of them")
    files = {name: Path(files[name]) for name in branch_names() if name in files}
    clips = ClipStore.open(Path(store))
    tables = {name: _read_rows(Path(path)) for name, path in files.items()}
    scorer = _choose_scorer(clips, quality, files)
    columns = [_match_clip(clips, clip, files, tables, scorer) for clip in clips.clips()]
    scores = concatenate([part for part, _ in columns])
    if not len(scores):
        raise ScoresError(f"{_list(files)}: not one of the rows belongs to a face of {store}")
    summary = ImportSummary(
        scores=Path(out),
        clips=len(set(scores.clip.tolist())),
        rows=len(scores),
        branches=count_branches(scores),
        scorer=scorer,
        unknown={
            name: len(table) - int((~np.isnan(scores[name])).sum())
            for name, table in tables.items()
        },
        without_score=sum(n_missing for _, n_missing in columns),
    )
    _warn(files, summary)
    config = {"command": "import", "store": str(store), "quality": scorer or None}
    write_scores(Path(out), scores, {**config, **{n: str(path) for n, path in files.items()}})
    return summary


def _read_rows(path: Path) -> dict[Row, float]:
    """The score of each video id and frame."""
    content = read_json(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, list):
        raise ScoresError(
            f"{path}: expected an object with a list 'results', as in aPred.json and vPred.json"
        )
    scores: dict[Row, float] = {}
    for index, item in enumerate(results):
        row = parse_row(item)
        if row is None:
            raise ScoresError(
                f"{path}: results[{index}]: expected video_id, frame_id (a whole number), label "
                f"and score, found {item!r:.80}"
            )
        where = f"{path}: results[{index}]: video {row[0]}, frame {row[1]}"
        if not is_probability(item["score"]):
            raise ScoresError(
                f"{where}: the score should be a number from 0 to 1, found {item['score']!r:.40}"
            )
        if row in scores:
            raise ScoresError(f"{where}: listed twice; keep one row for each frame")
        scores[row] = float(item["score"])
    return scores


def _choose_scorer(store: ClipStore, asked: str, branches: Mapping[str, Any]) -> str:
    """The scorer of the quality that fusion weighs by; empty where there is none, or no use."""
    if not any(BRANCHES.get(name).uses_quality for name in branches):
        return ""
    found = store.scorers()
    if not asked and not found:
        log.warning(
            "%s: the faces have no quality, so fusion takes the plain mean; import the published "
            "one with `quavf quality %s --import FILE --scorer %s`, then import again",
            store.path,
            store.path,
            PUBLISHED_SCORER,
        )
        return ""
    return choose_scorer(store, asked or (PUBLISHED_SCORER if PUBLISHED_SCORER in found else ""))


def _match_clip(
    store: ClipStore,
    clip: str,
    files: Mapping[str, Path | str],
    tables: Mapping[str, Mapping[Row, float]],
    scorer: str,
) -> tuple[Scores, int]:
    """The faces of a clip that have a score, and the number of those that have none."""
    faces = store.faces(clip)
    columns = {}
    for name, table in tables.items():
        found = [table.get((clip, frame), np.nan) for frame in faces.frame.tolist()]
        columns[name] = np.array(found, float)
        _check_persons(files[name], clip, faces, ~np.isnan(columns[name]))
    has_score = ~np.isnan(np.array([*columns.values()])).all(axis=0)
    if scorer:
        columns[QUALITY] = _compute_window_quality(store, clip, faces, scorer)
    columns[FUSED] = PUBLISHED.fuse(columns)
    rows = np.flatnonzero(has_score)
    scores = Scores(
        np.full(len(rows), clip, object),
        faces.person[rows],
        faces.frame[rows],
        {name: values[rows] for name, values in columns.items()},
    )
    return scores, len(faces) - len(rows)


def _check_persons(path: Path | str, clip: str, faces: Faces, has_score: Array) -> None:
    """Refuse a row that fits several faces: the format does not know persons."""
    frames, counts = np.unique(faces.frame[has_score], return_counts=True)
    if (counts > 1).any():
        raise ScoresError(
            f"{path}: video {clip}, frame {frames[counts > 1][0]}: the store has several persons' "
            "faces there, and the file names no person; import into a store of the challenge's "
            "segments, which show one person each"
        )


def _compute_window_quality(store: ClipStore, clip: str, faces: Faces, scorer: str) -> Floats:
    """(N,) mean quality of the published window around each face, NaN outside spans."""
    crop_quality, manifest = store.quality(clip, scorer), store.manifest(clip)
    frames_of = {person: faces.frame[faces.rows_of(person)] for person in faces.persons()}
    quality = np.full(len(faces), np.nan)
    for span in reversed(spans(manifest.segments, frames_of)):  # the first span's value stays
        own = faces.rows_of(span.person)
        frames = faces.frame[own]
        windows = span_windows(frames, crop_quality[own], span, WindowConfig(), manifest.clock)
        quality[own][span.rows(frames)] = windows.quality
    return quality


def _warn(files: Mapping[str, Path | str], summary: ImportSummary) -> None:
    for name, count in summary.unknown.items():
        if count:
            log.warning("%s: rows without a face in the store: %d", files[name], count)
    if summary.without_score:
        log.warning("%s: faces without a score: %d", _list(files), summary.without_score)


def _list(files: Mapping[str, Path | str]) -> str:
    return ", ".join(str(path) for path in files.values())
