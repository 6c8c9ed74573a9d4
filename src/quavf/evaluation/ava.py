"""AVA-ActiveSpeaker's file of predictions, its check, and its own average precision.

The official definition (ActivityNet's `get_ava_active_speaker_performance.py`): the rows sorted by
score, precision and recall of `SPEAKING_AUDIBLE` after each of them, precision made monotone, and
the area below (VOC, all points). That is `average_precision` with `ties="stable"`.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quavf.core.errors import ScoresError
from quavf.core.records import Floats, Ints, SourceRows
from quavf.evaluation.metrics import average_precision
from quavf.evaluation.submission import N_NAMED, join_names, plural
from quavf.sources.ava import SPEAKS
from quavf.utils.files import replace_file

LABEL, N_FIELDS = 6, 8  # of a row: video, time, four corners, label, entity
CLOSE = 1e-9  # corners that differ by more are of another box

Key = tuple[str, str, str]  # video, time and entity


@dataclass(frozen=True)
class AvaResult:
    """The average precision on all rows of AVA's files; None without a row that speaks."""

    ap: float | None
    n_rows: int
    n_positive: int
    n_filled: int  # rows without a score of their own, scored by their neighbours in time
    n_unknown: int  # rows without such neighbours either, which take the mean of all scores


def list_fields(rows: SourceRows) -> list[list[str]]:
    """The fields of each row as AVA's file has them."""
    return list(csv.reader(rows.text))


def read_truth(rows: SourceRows) -> Ints:
    """(N,) 1 for rows that speak and are heard, else 0."""
    return np.array([int(fields[LABEL] == SPEAKS) for fields in list_fields(rows)])


def judge_ava(labels: Ints, scores: Floats, n_filled: int = 0, n_unknown: int = 0) -> AvaResult:
    """The result for all rows (N,), in the order of the files."""
    ap = average_precision(labels, scores, ties="stable") if labels.any() else None
    return AvaResult(ap, len(labels), int(labels.sum()), n_filled, n_unknown)


def write_ava_file(rows: Iterable[tuple[SourceRows, Floats]], path: Path) -> dict[str, int]:
    """Write predictions, rows and scores (N,) of each video; return numbers of `rows`, `videos`."""
    counts = Counter(rows=0, videos=0)
    with replace_file(Path(path)) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for own, scores in rows:
            for fields, score in zip(list_fields(own), scores.tolist(), strict=True):
                writer.writerow([*fields[:LABEL], SPEAKS, *fields[LABEL + 1 :], repr(score)])
            counts += Counter(rows=len(own), videos=1)
        if not counts["rows"]:
            raise ScoresError("there are no scores of AVA's rows; predict its store first")
    return dict(counts)


def find_ava_problems(path: Path, expected: Mapping[str, SourceRows]) -> list[str]:
    """What the official script would refuse or misjudge; empty when the file is valid.

    `expected` holds the rows of each clip; of videos that the file lacks as a whole, nothing is
    expected. Raises ScoresError when there is no such file.
    """
    wanted = {_key(fields): fields for rows in expected.values() for fields in list_fields(rows)}
    seen: Counter[Key] = Counter()
    bad: dict[str, list[Key]] = {}
    malformed: list[int] = []
    for number, fields in enumerate(_read_rows(path)):
        if len(fields) != N_FIELDS + 1:
            malformed.append(number)
            continue
        key = _key(fields)
        seen[key] += 1
        for fault in _find_faults(fields, wanted.get(key)):
            bad.setdefault(fault, []).append(key)
    videos = {key[0] for key in seen}
    repeated = [key for key, count in seen.items() if count > 1]
    missing = sorted(key for key in wanted if key[0] in videos and key not in seen)
    problems = []
    if not seen:
        problems.append("no row of predictions; expected video, time, box, label, entity and score")
    if malformed:
        first = ", ".join(map(str, malformed[:N_NAMED]))
        problems.append(
            f"{len(malformed)} rows without {N_FIELDS + 1} fields (the first, counted from 0: "
            f"{first})"
        )
    bad |= {"more than once": repeated, "missing": missing}
    return problems + [f"{_count(keys)} {fault}" for fault, keys in bad.items() if keys]


def _read_rows(path: Path) -> Iterator[list[str]]:
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            yield from csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScoresError(f"{path}: cannot be read ({error})") from None


def _key(fields: list[str]) -> Key:
    return fields[0], fields[1], fields[LABEL + 1]


def _find_faults(fields: list[str], expected: list[str] | None) -> Iterator[str]:
    if expected is None:
        yield "that AVA's files do not have"
    elif not all(
        abs(_number(a) - _number(b)) <= CLOSE
        for a, b in zip(fields[2:LABEL], expected[2:LABEL], strict=True)
    ):
        yield "with another box than AVA's"
    if fields[LABEL] != SPEAKS:
        yield f"with a label other than {SPEAKS}; the score says the rest"
    if not 0 <= _number(fields[-1]) <= 1:
        yield "with a score that is not a number in [0, 1]"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _count(keys: list[Key]) -> str:
    """'2 rows (video a at 1.04 entity b, …)'."""
    first = ", ".join(f"video {v} at {t} entity {e}" for v, t, e in keys[:N_NAMED])
    return f"{plural(len(keys), 'row')} ({join_names(keys, first)})"
