"""Submit: write and check the files that challenges and benchmarks take."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quavf.core.branches import LOOKING, SPEAKING
from quavf.core.errors import ConfigError, ScoresError, StoreError
from quavf.core.records import SourceRows
from quavf.evaluation.ava import find_ava_problems, write_ava_file
from quavf.evaluation.lam import find_lam_problems, list_keys, write_lam_file
from quavf.evaluation.source_rows import NEAR_S, RowScores, score_rows
from quavf.evaluation.submission import find_problems, plural, write_submission_file
from quavf.results.fusion import encode_clips
from quavf.results.scores import Scores, read_config, read_scores
from quavf.store import ClipStore

log = logging.getLogger(__name__)

TASKS = ("ttm", "lam", "ava")


def write_submission(
    scores: Path | str, out: Path | str, task: str = "ttm", store: Path | str | None = None
) -> dict[str, int]:
    """Write the file of a scores folder; return its numbers of rows and videos.

    `task`: ttm, Ego4D's talking to me; lam, its looking at me; ava, AVA-ActiveSpeaker. `store` is
    that of the clips, which knows the dataset's own names; default: the one that was predicted.
    """
    _check_task(task)
    if task == "ttm":
        return write_submission_file(read_scores(Path(scores)), Path(out))
    if task == "ava":
        found = _score_all(scores, store, SPEAKING, only_scored=True)
        return write_ava_file(((rows, own.scores) for _, rows, own in found), Path(out))
    pictures = {clip: (rows, own.scores) for clip, rows, own in _score_all(scores, store, LOOKING)}
    return write_lam_file(pictures, Path(out))


def check_submission(path: Path | str, store: Path | str, task: str = "ttm") -> list[str]:
    """Problems of a submission file for the challenge in `store`; empty when it is valid."""
    _check_task(task)
    clips = ClipStore.open(Path(store))
    if task == "lam":
        keys = [key for clip, rows in list_source_rows(clips) for key in list_keys(clip, rows)]
        return find_lam_problems(Path(path), keys)
    if task == "ava":
        return find_ava_problems(Path(path), dict(list_source_rows(clips)))
    expected = {clip: set(clips.faces(clip).frame.tolist()) for clip in clips.clips()}
    return find_problems(Path(path), expected)


def list_source_rows(store: ClipStore) -> Iterator[tuple[str, SourceRows]]:
    """Each clip with the rows of its dataset's own files; StoreError where there are none."""
    for clip in store.clips():
        rows = store.source_rows(clip)
        if rows is None:
            raise StoreError(
                f"{store.path}: clip {clip} does not say what its dataset calls the faces; give "
                "the store that was prepared for this task"
            )
        yield clip, rows


def score_store_rows(
    scores: Scores, store: ClipStore, column: str, only_scored: bool = False
) -> Iterator[tuple[str, SourceRows, RowScores]]:
    """Each clip with its dataset's rows and their scores; all clips, or those with a score.

    A row about which nothing is known takes the mean of all scores; see `score_rows`.
    """
    names, codes = encode_clips(scores.clip)
    own = {str(name): np.flatnonzero(codes == code) for code, name in enumerate(names)}
    nothing = np.empty(0, np.intp)
    known = scores[column][~np.isnan(scores[column])]
    unknown = float(known.mean()) if len(known) else 0.0
    for clip, rows in list_source_rows(store):
        if only_scored and clip not in own:
            continue
        found, fps = scores.take(own.get(clip, nothing)), store.manifest(clip).clock.fps
        yield clip, rows, score_rows(rows, found, column, fps, unknown)


def _score_all(
    folder: Path | str, store: Path | str | None, column: str, only_scored: bool = False
) -> Iterator[tuple[str, SourceRows, RowScores]]:
    """Score the rows of a scores folder; logs how many rows have no score of their own."""
    scores = read_scores(Path(folder))
    if column not in scores.columns or np.isnan(scores[column]).all():
        raise ScoresError(
            f"{folder}: no score says who is {column}; predict with weights that judge it, such "
            "as --weights talk"
        )
    path = store or read_config(Path(folder)).get("store")
    if not path:
        raise ConfigError(f"submit: {folder} does not say which store it is of; give --store")
    n_filled = n_unknown = 0
    opened = ClipStore.open(Path(path))
    for clip, rows, found in score_store_rows(scores, opened, column, only_scored):
        n_filled, n_unknown = n_filled + found.n_filled, n_unknown + found.n_unknown
        yield clip, rows, found
    if n_filled:
        log.warning(
            "%s without a score took the value between their neighbours in time",
            plural(n_filled, "face"),
        )
    if n_unknown:
        log.warning(
            "%s without a score within %d s took the mean of all scores",
            plural(n_unknown, "face"),
            NEAR_S,
        )


def _check_task(task: str) -> None:
    if task not in TASKS:
        raise ConfigError(f"submit: task {task!r} is not one of {', '.join(TASKS)}")
