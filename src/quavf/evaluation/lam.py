"""The looking-at-me submission file of the Ego4D challenge (EvalAI): writer and validator."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from quavf.core.records import Floats, SourceRows
from quavf.evaluation.submission import (
    N_NAMED,
    VERSION,
    is_probability,
    join_names,
    plural,
    read_results,
)
from quavf.utils.files import replace_file

CHALLENGE = "ego4d_looking_at_me"
NAMES = ("video_id", "track_id", "unique_id")
FIELDS = ("video_id", "unique_id", "track_id", "label", "score")

Key = tuple[str, str, str]  # video, track and unique id


def list_keys(video: str, rows: SourceRows) -> list[Key]:
    """Video, track and unique id of each row of a video."""
    return [(video, *split_name(text)) for text in rows.text]


def split_name(text: str) -> tuple[str, str]:
    """Track and unique id of a row's text."""
    track, _, unique = text.partition("/")
    return track, unique


def write_lam_file(rows: Mapping[str, tuple[SourceRows, Floats]], path: Path) -> dict[str, int]:
    """Write the rows and scores (N,) of each video; return the numbers of `rows` and `videos`."""
    results = [
        dict(zip(FIELDS, (video, unique, track, 1, score), strict=True))
        for video, (own, scores) in sorted(rows.items())
        for (_, track, unique), score in zip(list_keys(video, own), scores.tolist(), strict=True)
    ]
    content = {"version": VERSION, "challenge": CHALLENGE, "results": results}
    with replace_file(Path(path)) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    return {"rows": len(results), "videos": len(rows)}


def find_lam_problems(path: Path, expected: Collection[Key]) -> list[str]:
    """Problems that would make the server refuse or misjudge the file; empty when it is valid.

    `expected` holds the key of each picture. Track and unique ids may be numbers or text. Raises
    AnnotationError when the file is missing or not JSON.
    """
    problems, results = read_results(path, CHALLENGE)
    if results is None:
        return problems
    bad: defaultdict[str, list[Key]] = defaultdict(list)
    malformed: list[int] = []
    seen: Counter[Key] = Counter()
    for index, item in enumerate(results):
        key = _parse_key(item)
        if key is None:
            malformed.append(index)
            continue
        seen[key] += 1
        if type(item["label"]) is not int or item["label"] != 1:
            bad["with a label other than 1; write 1, the score says the rest"].append(key)
        if not is_probability(item["score"]):
            bad["with a score that is not a number in [0, 1]"].append(key)
    if malformed:
        first = ", ".join(map(str, malformed[:N_NAMED]))
        problems.append(
            f"{len(malformed)} malformed, expected objects with {', '.join(FIELDS)} (the first, "
            f"counted from 0: {first})"
        )
    wanted = set(expected)
    bad["more than once; keep one row for each picture"] = [k for k, n in seen.items() if n > 1]
    bad["missing; every picture needs one"] = sorted(wanted - set(seen))
    bad["of pictures that the set does not have; remove them"] = sorted(set(seen) - wanted)
    return problems + [f"{_count(keys)} {ending}" for ending, keys in bad.items() if keys]


def _parse_key(item: Any) -> Key | None:
    """Video, track and unique id of a row; nothing when it is not a row at all."""
    if not isinstance(item, dict) or not all(field in item for field in FIELDS):
        return None
    values = [item[name] for name in NAMES]
    if not all(type(value) in (str, int) for value in values):
        return None
    video, track, unique = map(str, values)
    return video, track, unique


def _count(keys: list[Key]) -> str:
    """'2 rows (video a track 1 id x, video a track 1 id y)'."""
    first = ", ".join(f"video {v} track {t} id {u}" for v, t, u in keys[:N_NAMED])
    return f"{plural(len(keys), 'row')} ({join_names(keys, first)})"
