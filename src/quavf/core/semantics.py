"""Faults of the published system, each of which can be reproduced or corrected.

Two sets: `reference` reproduces the published system bit for bit, `fixed` corrects it. Every
difference is one flag here and one place in the code; docs/reference/differences.md lists them.
A store keeps the name of the set that its tracks, crops and quality regions were made with, a
checkpoint that of its windows and audio reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from quavf.core.errors import ConfigError


@dataclass(frozen=True)
class Semantics:
    """One flag per fault; True reproduces the published behaviour."""

    name: str
    # Annotations and tracks: stored with the store.
    wearer_by_position: bool  # skip persons[0], not the person who is flagged or has id 0
    shift_negative_boxes: bool  # x2 = max(x, 0) + w: the box moves; fixed: it is cut
    lose_last_frame: bool  # a track covers [first, last): its last frame is dropped
    pair_rows_in_order: bool  # n rows over n frames: their frame numbers are ignored
    merge_tracks_in_file_order: bool  # a later listed track wins; fixed: the later starting one
    # Quality regions: stored with the store.
    unpad_wrong_side: bool  # padding on the right or bottom: keep 0:pad, not 0:224 - pad
    # Windows and reads: stored with the checkpoint.
    scan_two_frames_short: bool  # training windows stop at n - 2 frames; fixed: n
    lopsided_valid_crop: bool  # validation pictures are cut to 112 x 122; fixed: 112 x 112
    float_sample_times: bool  # int(frame / 30 * 16000) in floats: at times one sample early
    shift_short_reads: bool  # sound that ends in a window is read from earlier, without its frames
    # Training.
    moving_batch_norm: bool  # a frozen image backbone's batch-norm statistics still move


REFERENCE = Semantics("reference", *(True,) * 11)
FIXED = Semantics("fixed", *(False,) * 11)

_SETS = {s.name: s for s in (FIXED, REFERENCE)}
SEMANTICS = tuple(_SETS)  # their names


def get_semantics(name: str) -> Semantics:
    """The set of that name. Raises ConfigError for any other name."""
    if name not in _SETS:
        raise ConfigError(f"semantics: {name!r} is not known; use one of {sorted(SEMANTICS)}")
    return _SETS[name]
