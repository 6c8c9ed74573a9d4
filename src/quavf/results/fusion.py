"""Fusion of the branches' scores, and joins of branches that were predicted apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from quavf.core.branches import (
    FUSED,
    QUALITY,
    branch_names,
    branch_specs,
    known_columns,
    score_columns,
)
from quavf.core.errors import ConfigError, ScoresError
from quavf.core.records import Array, Floats, Ints
from quavf.results.stacker import read_stacker

if TYPE_CHECKING:  # pyarrow would slow down `quavf run --help`
    from quavf.results.scores import Scores

ROUNDING = 1e-9  # weights whose sum is so near to 1 are left as they are


class Fusion(Protocol):
    """A way to make one score of the branches' scores."""

    def fuse(self, columns: Mapping[str, Floats]) -> Floats:
        """Make one score of the branches' scores; (N,).

        `columns` may hold scores of any branches and the face quality, (N,) each, NaN where
        missing; others are ignored. A row without any branch is NaN.
        """

    def to_json(self) -> dict[str, Any]:
        """Plain values that `read_fusion` reads."""


@dataclass(frozen=True)
class PublishedFormula:
    """The mean of the branches' scores, each trusted as its `weight` says (QuAVF, eq. 1).

    With audio and visual that is (1 - q) * audio + q * visual; cues count as much as both of them
    together. A row with one branch takes its score, and a row without quality takes the plain mean.
    """

    def fuse(self, columns: Mapping[str, Floats]) -> Floats:
        """The fused score (N,), see `Fusion.fuse`."""
        shares = compute_shares(columns)
        if not shares:
            return np.full(_n_rows(columns), np.nan)
        parts = [share * np.nan_to_num(columns[name]) for name, share in shares.items()]
        return np.asarray(np.sum(parts, axis=0))

    def to_json(self) -> dict[str, Any]:
        """Plain values that `read_fusion` reads."""
        return {"kind": "published"}


PUBLISHED: Fusion = PublishedFormula()


def read_fusion(content: Any) -> Fusion:
    """The fusion that `to_json` described; None is the published formula.

    Raises ConfigError that names the field.
    """
    if content is None:
        return PUBLISHED
    kind = content.get("kind") if isinstance(content, dict) else content
    if kind == "published":
        return PUBLISHED
    if kind == "stacker":
        return read_stacker(content)
    raise ConfigError(f"fusion.kind: {kind!r:.40} is not known; use published or stacker")


def compute_shares(columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """Each branch's share of the fused score, (N,) each; columns as in `Fusion.fuse`.

    The shares of a row add up to 1; a branch without a score has none. All are NaN in a row
    without any score.
    """
    specs = [spec for spec in branch_specs() if spec.name in columns]
    n_rows = _n_rows(columns)
    there = np.array([~np.isnan(columns[spec.name]) for spec in specs])  # (branches, N)
    there = there.reshape(len(specs), n_rows)
    count = there.sum(axis=0)
    quality = columns.get(QUALITY, np.full(n_rows, np.nan))
    weights = np.array([spec.weight(quality) for spec in specs]).reshape(len(specs), n_rows)
    weights = np.where(there, weights, 0.0)
    total = weights.sum(axis=0)
    even = there / np.maximum(count, 1)
    scale = np.where(np.abs(total - 1) > ROUNDING, total, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = weights / scale
    shares = np.where((count == 1) | np.isnan(quality) | (total == 0), even, shares)
    shares[:, count == 0] = np.nan
    return {spec.name: share for spec, share in zip(specs, shares, strict=True)}


def average_branches(columns: Mapping[str, Floats]) -> Floats:
    """Plain mean of the branches that a row has, (N,); columns as in `Fusion.fuse`."""
    return PUBLISHED.fuse({name: values for name, values in columns.items() if name != QUALITY})


def fuse_at_quality(columns: Mapping[str, Floats], quality: float) -> Floats:
    """Fusion at one face quality for all rows, (N,); columns as in `Fusion.fuse`."""
    return PUBLISHED.fuse({**columns, QUALITY: np.full(_n_rows(columns), quality)})


def _n_rows(columns: Mapping[str, Floats]) -> int:
    return len(next(iter(columns.values()), ()))


@dataclass(frozen=True)
class FusionCounts:
    """Rows by the branches that they have a score of."""

    several: int  # two branches or more
    only: dict[str, int]  # one branch alone, by its name
    neither: int  # none
    no_quality: int  # those of `several` that lack the quality: they take the plain mean


def count_branches(scores: Scores) -> FusionCounts:
    """How many rows have which branches: the standard ones, and others that have a score."""
    names = [n for n in branch_names() if n in score_columns() or not np.isnan(scores[n]).all()]
    there = {name: ~np.isnan(scores[name]) for name in names}
    count = np.sum([*there.values()], axis=0)
    several = count > 1
    return FusionCounts(
        several=int(several.sum()),
        only={name: int((has & (count == 1)).sum()) for name, has in there.items()},
        neither=int((count == 0).sum()),
        no_quality=int((several & np.isnan(scores[QUALITY])).sum()),
    )


def fuse_scores(a: Scores, b: Scores) -> tuple[Scores, FusionCounts]:
    """Join two score sets on clip, person and frame, and fuse every row.

    Every column but `fused` comes from whichever set has a value; that of the inputs is ignored.
    The result is sorted and holds every row of either. Raises ScoresError when a set has a row
    twice, or when both have different values for the same thing.
    """
    from quavf.results.scores import Scores

    clip = np.concatenate([a.clip, b.clip])
    person = np.concatenate([a.person, b.person])
    frame = np.concatenate([a.frame, b.frame])
    source = np.repeat([0, 1], [len(a), len(b)])
    order = np.lexsort((source, frame, person, encode_clips(clip)[1]))
    clip, person, frame, source = clip[order], person[order], frame[order], source[order]
    same = _find_repeats(clip, person, frame)
    twice = np.flatnonzero(same & (source == np.roll(source, 1)))
    if len(twice):
        which = "first" if source[twice[0]] == 0 else "second"
        raise ScoresError(
            f"the {which} scores have {_name(clip, person, frame, twice[0])} twice "
            f"({len(twice)} repeated rows in all); predict again into an empty folder"
        )
    names = [n for n in known_columns() if n != FUSED and (n in a.columns or n in b.columns)]
    merged = {}
    for name in names:
        value = np.concatenate([a[name], b[name]])[order]
        clash = _fill_from_below(value, np.flatnonzero(same))
        if clash is not None:
            raise ScoresError(
                f"{_name(clip, person, frame, clash.row)}: {name} is {clash.above:.6g} in the "
                f"first scores and {clash.below:.6g} in the second ({clash.count} such rows); give "
                "one folder for each branch, both of the same clips"
            )
        merged[name] = value[~same]
    joined = Scores(clip[~same], person[~same], frame[~same], merged)
    fused = PUBLISHED.fuse({name: joined[name] for name in (*branch_names(), QUALITY)})
    joined = replace(joined, columns={**merged, FUSED: fused})
    return joined, count_branches(joined)


@dataclass(frozen=True)
class _Clash:
    """Two different values for one thing: where the first is, both, and how many there are."""

    row: int
    above: float
    below: float
    count: int


def _fill_from_below(value: Floats, rows: Ints) -> _Clash | None:
    """Copy values (N,) of `rows` to the rows above where those are NaN; return clashes, if any."""
    above, below = value[rows - 1], value[rows]
    clash = np.flatnonzero(~np.isnan(above) & ~np.isnan(below) & (above != below))
    if len(clash):
        first = clash[0]
        return _Clash(int(rows[first]), float(above[first]), float(below[first]), len(clash))
    value[rows - 1] = np.where(np.isnan(above), below, above)
    return None


def encode_clips(clip: Array) -> tuple[npt.NDArray[np.object_], Ints]:
    """The distinct clip ids, sorted, and the index of each row's among them, (N,).

    Rows of a clip mostly lie together: only the heads of such runs are sorted as text, which
    makes millions of rows cheap.
    """
    if not len(clip):
        return np.empty(0, object), np.empty(0, np.intp)
    starts = np.flatnonzero(np.append(True, clip[1:] != clip[:-1]))
    names, codes = np.unique(clip[starts].astype(object), return_inverse=True)
    return names, np.repeat(codes, np.diff(np.append(starts, len(clip))))


def _find_repeats(clip: Array, person: Array, frame: Array) -> npt.NDArray[np.bool_]:
    """Whether each row has the key of the row before it; the first has none before it."""
    same = np.zeros(len(clip), bool)
    same[1:] = (clip[1:] == clip[:-1]) & (person[1:] == person[:-1]) & (frame[1:] == frame[:-1])
    return same


def _name(clip: Array, person: Array, frame: Array, row: int) -> str:
    return f"clip {clip[row]}, person {person[row]}, frame {frame[row]}"
