"""Blending the branches' scores, and joining branches that were predicted apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quavf.core.errors import ScoresError
from quavf.core.records import Array, Floats, Ints
from quavf.results.scores import Scores

BRANCH_VALUES = ("audio", "visual", "quality")


def fuse(audio: Floats, visual: Floats, quality: Floats) -> Floats:
    """Blend branch scores, trusting the face as far as its quality (QuAVF, eq. 1).

    (1 - q) * audio + q * visual; all (N,) in [0, 1], NaN means missing. A row that misses one
    branch takes the other (NaN when both are missing); a row that has both but no quality takes
    their plain mean, the weight that favours neither.
    """
    weight = np.where(np.isnan(quality), 0.5, quality)
    return _blend(audio, visual, weight)


def mean_fusion(audio: Floats, visual: Floats) -> Floats:
    """Plain mean of the branches, (N,); a row that misses one branch takes the other."""
    return fixed_fusion(audio, visual, 0.5)


def fixed_fusion(audio: Floats, visual: Floats, weight: float) -> Floats:
    """(1 - weight) * audio + weight * visual, (N,); a row that misses one takes the other."""
    return _blend(audio, visual, np.asarray(weight))


def _blend(audio: Floats, visual: Floats, visual_weight: Floats) -> Floats:
    blended = (1 - visual_weight) * audio + visual_weight * visual
    return np.where(np.isnan(audio), visual, np.where(np.isnan(visual), audio, blended))


@dataclass(frozen=True)
class FusionCounts:
    """Rows by the branches they have; `no_quality` are those of `both` fused by the plain mean."""

    both: int
    audio_only: int
    visual_only: int
    neither: int
    no_quality: int


def count_branches(scores: Scores) -> FusionCounts:
    """How many rows have which branches."""
    has_audio, has_visual = ~np.isnan(scores.audio), ~np.isnan(scores.visual)
    both = has_audio & has_visual
    return FusionCounts(
        both=int(both.sum()),
        audio_only=int((has_audio & ~has_visual).sum()),
        visual_only=int((has_visual & ~has_audio).sum()),
        neither=int((~has_audio & ~has_visual).sum()),
        no_quality=int((both & np.isnan(scores.quality)).sum()),
    )


def fuse_scores(a: Scores, b: Scores) -> tuple[Scores, FusionCounts]:
    """Join two score sets on clip, person and frame, and fuse every row anew.

    Audio, visual and quality come from whichever set has them; `fused` of the inputs is not read.
    The result is sorted and holds every row of either. Raises ScoresError when a set has a row
    twice, or when both have different values for the same thing.
    """
    clip = np.concatenate([a.clip, b.clip])
    person = np.concatenate([a.person, b.person])
    frame = np.concatenate([a.frame, b.frame])
    source = np.repeat([0, 1], [len(a), len(b)])
    order = np.lexsort((source, frame, person, clip_codes(clip)[1]))
    clip, person, frame, source = clip[order], person[order], frame[order], source[order]
    same = _same_as_above(clip, person, frame)
    twice = np.flatnonzero(same & (source == np.roll(source, 1)))
    if len(twice):
        which = "first" if source[twice[0]] == 0 else "second"
        raise ScoresError(
            f"the {which} scores have {_name(clip, person, frame, twice[0])} twice "
            f"({len(twice)} repeated rows in all); predict again into an empty folder"
        )
    head = np.flatnonzero(~same)  # where each distinct row starts
    tail = np.flatnonzero(same)
    merged: dict[str, Floats] = {}
    for name in BRANCH_VALUES:
        value = np.concatenate([getattr(a, name), getattr(b, name)])[order]
        above, below = value[tail - 1], value[tail]
        clash = np.flatnonzero(~np.isnan(above) & ~np.isnan(below) & (above != below))
        if len(clash):
            row = tail[clash[0]]
            raise ScoresError(
                f"{_name(clip, person, frame, row)}: {name} is {above[clash[0]]:.6g} in the first "
                f"scores and {below[clash[0]]:.6g} in the second ({len(clash)} such rows); give "
                "one folder for each branch, both of the same clips"
            )
        value[tail - 1] = np.where(np.isnan(above), below, above)
        merged[name] = value[head]
    joined = Scores(clip[head], person[head], frame[head], **merged, fused=fuse(**merged))
    return joined, count_branches(joined)


def clip_codes(clip: Array) -> tuple[npt.NDArray[np.object_], Ints]:
    """The distinct clip ids, sorted, and the index of each row's among them, (N,).

    Rows of a clip mostly lie together: only the heads of such runs are sorted as text, which
    makes millions of rows cheap.
    """
    if not len(clip):
        return np.empty(0, object), np.empty(0, np.intp)
    starts = np.flatnonzero(np.append(True, clip[1:] != clip[:-1]))
    names, codes = np.unique(clip[starts].astype(object), return_inverse=True)
    return names, np.repeat(codes, np.diff(np.append(starts, len(clip))))


def _same_as_above(clip: Array, person: Array, frame: Array) -> npt.NDArray[np.bool_]:
    """Whether each row has the key of the row before it; the first has none before it."""
    same = np.zeros(len(clip), bool)
    same[1:] = (clip[1:] == clip[:-1]) & (person[1:] == person[:-1]) & (frame[1:] == frame[:-1])
    return same


def _name(clip: Array, person: Array, frame: Array, row: int) -> str:
    return f"clip {clip[row]}, person {person[row]}, frame {frame[row]}"
