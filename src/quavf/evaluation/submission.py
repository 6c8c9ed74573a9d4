"""The talking-to-me submission file of the Ego4D challenge (EvalAI): writer and validator."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.errors import ScoresError
from quavf.results.scores import Scores
from quavf.utils.files import read_json, replace_file

VERSION = "1.0"
CHALLENGE = "ego4d_talking_to_me"
FIELDS = ("video_id", "frame_id", "label", "score")
N_NAMED = 3  # rows named for each kind of problem
MAX_DIGITS = 15  # longer frame numbers are not frame numbers

Row = tuple[str, int]  # video id and frame


def write_submission_file(scores: Scores, path: Path) -> dict[str, int]:
    """Write the fused scores, one row a clip and frame, sorted; return `rows` and `videos`.

    Raises ScoresError when there are no rows, or a row has no fused score or one that is not in
    [0, 1], or when two rows share clip and frame (the format does not know persons).
    """
    if not len(scores):
        raise ScoresError("there are no scores to submit; predict the challenge test set first")
    scores = scores.sorted()
    bad = np.flatnonzero(~((scores.fused >= 0) & (scores.fused <= 1)))
    if len(bad):
        raise ScoresError(
            f"clip {scores.clip[bad[0]]}, frame {scores.frame[bad[0]]}: the fused score is "
            f"{scores.fused[bad[0]]}, not a number in [0, 1] ({len(bad)} such rows); every frame "
            "with a face needs one: predict again with a branch that covers them, or fuse again"
        )
    results = [
        dict(zip(FIELDS, (clip, frame, 1, score), strict=True))
        for clip, frame, score in zip(
            scores.clip.tolist(), scores.frame.tolist(), scores.fused.tolist(), strict=True
        )
    ]
    counts = Counter((row["video_id"], row["frame_id"]) for row in results)
    repeated = [row for row, count in counts.items() if count > 1]
    if repeated:
        raise ScoresError(
            f"{_count('row', repeated)} more than once; a submission has one row for each clip "
            "and frame, so keep one person in each clip"
        )
    content = {"version": VERSION, "challenge": CHALLENGE, "results": results}
    with replace_file(Path(path)) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    return {"rows": len(results), "videos": len(set(scores.clip.tolist()))}


def read_results(path: Path, challenge: str) -> tuple[list[str], list[Any] | None]:
    """Problems of a submission's top level, and its rows; None where there is no list of them.

    Raises AnnotationError when the file is missing or not JSON.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        kind = type(content).__name__
        return [f"the top level is a {kind}, expected an object with 'results'"], None
    results = content.get("results")
    return check_top_level(content, challenge), results if isinstance(results, list) else None


def find_problems(path: Path, expected: Mapping[str, Collection[int]]) -> list[str]:
    """Problems that would make the server refuse or misjudge the file; empty when it is valid.

    `expected` maps each video id to its frames that have a face. A frame id may be a number or a
    string of digits, as both are published. Each kind of problem is one sentence that counts it
    and names the first few. Raises AnnotationError when the file is missing or not JSON.
    """
    problems, results = read_results(path, CHALLENGE)
    if results is None:
        return problems
    bad: defaultdict[str, list[Any]] = defaultdict(list)
    seen: Counter[Row] = Counter()
    for index, item in enumerate(results):
        row = parse_row(item)
        if row is None:
            bad["malformed"].append(index)
            continue
        seen[row] += 1
        if type(item["label"]) is not int or item["label"] != 1:
            bad["label"].append(row)
        if not is_probability(item["score"]):
            bad["score"].append(row)
    bad["repeated"] = [row for row, count in seen.items() if count > 1]
    return problems + _describe(bad) + _compare(seen, expected)


def check_top_level(content: dict[str, Any], challenge: str) -> list[str]:
    """Problems of a submission file outside its rows."""
    problems = []
    for key, value in (("version", VERSION), ("challenge", challenge)):
        if key not in content:
            problems.append(f"top-level key {key!r} is missing, expected {value!r}")
        elif content[key] != value:
            problems.append(f"top-level key {key!r} is {content[key]!r}, expected {value!r}")
    if not isinstance(content.get("results"), list):
        found = type(content["results"]).__name__ if "results" in content else "missing"
        problems.append(f"top-level key 'results' is {found}, expected a list of rows")
    unknown = sorted(set(content) - {"version", "challenge", "results"})
    if unknown:
        problems.append(f"unknown top-level keys {unknown}; remove them")
    return problems


def parse_row(item: Any) -> Row | None:
    """Video id and frame of a row, or nothing when it is not a row at all."""
    if not isinstance(item, dict) or not all(field in item for field in FIELDS):
        return None
    video, frame = item["video_id"], item["frame_id"]
    if isinstance(frame, str) and frame.isascii() and frame.isdigit() and len(frame) <= MAX_DIGITS:
        frame = int(frame)
    if not isinstance(video, str) or type(frame) is not int:
        return None
    return video, frame


def is_probability(score: Any) -> bool:
    """Whether a value is a number in [0, 1]; booleans are rejected."""
    return type(score) in (int, float) and 0 <= score <= 1


def _describe(bad: Mapping[str, list[Any]]) -> list[str]:
    problems = []
    if bad.get("malformed"):
        first = ", ".join(str(index) for index in bad["malformed"][:N_NAMED])
        problems.append(
            f"{len(bad['malformed'])} malformed, expected objects with {', '.join(FIELDS)} and a "
            f"whole number as frame_id (the first, counted from 0: {first})"
        )
    endings = {
        "repeated": "more than once; keep one row for each frame",
        "label": "with a label other than 1; write 1, the score says the rest",
        "score": "with a score that is not a number in [0, 1]",
    }
    return problems + [
        f"{_count('row', bad[kind])} {ending}" for kind, ending in endings.items() if bad.get(kind)
    ]


def _compare(seen: Collection[Row], expected: Mapping[str, Collection[int]]) -> list[str]:
    """Rows that lack, and rows and videos that should not be there."""
    wanted = {(video, int(frame)) for video, frames in expected.items() for frame in frames}
    missing = sorted(wanted - set(seen))
    surplus = sorted(set(seen) - wanted)
    strangers = sorted({video for video, _ in surplus if video not in expected})
    extra = [row for row in surplus if row[0] in expected]
    problems = []
    if missing:
        problems.append(f"{_count('row', missing)} missing; every frame with a face needs one")
    if extra:
        problems.append(f"{_count('row', extra)} of frames that have no face; remove them")
    if strangers:
        first = ", ".join(strangers[:N_NAMED])
        problems.append(
            f"{plural(len(strangers), 'unknown video id')} ({join_names(strangers, first)})"
        )
    return problems


def plural(count: int, noun: str) -> str:
    """'1 row', '2 rows'."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _count(noun: str, rows: list[Row]) -> str:
    """'5 rows (video a frame 1, video a frame 2, …)'."""
    first = ", ".join(f"video {video} frame {frame}" for video, frame in rows[:N_NAMED])
    return f"{plural(len(rows), noun)} ({join_names(rows, first)})"


def join_names(items: Collection[Any], first: str) -> str:
    """The first few names, and dots if there are more."""
    return first + (", …" if len(items) > N_NAMED else "")
