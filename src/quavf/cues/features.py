"""The features that the cues branch computes of a grid of cues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quavf.core.records import Array, Floats
from quavf.cues.grid import (
    ALL,
    CONFIDENCE,
    EYES,
    LIP,
    LIPS_S,
    LOGIT_LIMIT,
    LOUD_S,
    PITCH,
    ROLL,
    SIZE,
    STEADY_S,
    WIDTH,
    YAW,
    CueGrid,
    Rolling,
    X,
    Y,
    apply_rule,
    face_camera,
    logit,
    look_yaw,
    reach,
    rolling_max,
    rolling_mean,
    rolling_std,
)

QUIET_DB = -60.0  # level taken for silence
N_FACE, N_SOUND, N_RULE = 26, 6, 3
OFFLINE = -1  # look-ahead of the network: the whole clip
N_ANSWERS = N_RULE + 1  # of the network: the rule's, and whether a turn is addressed to me


@dataclass(frozen=True)
class Features:
    """Inputs of the network: missing values are 0, with flags beside them."""

    face: Floats  # (P, T, N_FACE) of each person
    sound: Floats  # (T, N_SOUND) of the clip
    rule: Floats  # (P, T, N_RULE) logits of the rule: talks to me, speaks, looks at me
    seen: Array  # (P, T) whether a face is there


def compute_features(grid: CueGrid, look_ahead: int | None = ALL) -> Features:
    """The features of a grid, with at most `look_ahead` ticks of the future."""
    face, rule = _face_features(grid, look_ahead)
    sound = _sound_features(grid, look_ahead)
    return Features(
        face.astype(np.float32), sound.astype(np.float32), rule.astype(np.float32), grid.is_seen
    )


def _face_features(grid: CueGrid, look_ahead: int | None) -> tuple[Floats, Floats]:
    f = grid.faces
    lip, yaw, size = f[:, :, LIP], f[:, :, YAW], f[:, :, SIZE]
    opening, mouth = (Rolling(values, look_ahead) for values in (lip, f[:, :, WIDTH]))
    lips, steady, short = reach(LIPS_S), reach(STEADY_S), 2
    judged, looks = apply_rule(grid, look_ahead), look_yaw(grid, look_ahead)
    facing = judged.facing
    # What a window over the look-ahead averages must not look further ahead itself.
    steps = facing if look_ahead is ALL else face_camera(look_yaw(grid, 0))
    faced = Rolling(steps, look_ahead)
    with np.errstate(invalid="ignore"):
        biggest = np.nanmax(np.concatenate([size, np.full((1, grid.n_ticks), 1.0)]), axis=0)
    columns = [
        grid.is_seen.astype(float),
        grid.is_read.astype(float),
        _log_motion(opening.std(lips)),
        _log_motion(opening.std(short)),
        _log_motion(opening.std(steady)),
        np.clip(lip, 0, 0.6) * 5,
        np.clip(_change(lip), -0.2, 0.2) * 10,
        np.clip(opening.mean(steady), 0, 0.6) * 5,
        _log_motion(mouth.std(lips)),
        np.clip(f[:, :, WIDTH] - mouth.mean(75), -0.3, 0.3) * 5,
        np.clip(looks / 30, -3, 3),
        np.clip(np.abs(looks) / 30, 0, 3),
        facing,
        faced.mean(lips),
        faced.mean(2 * steady),
        np.clip(rolling_std(yaw, steady, look_ahead) / 10, 0, 3),
        np.clip(-f[:, :, PITCH] / 20, -3, 3),
        np.clip(f[:, :, ROLL] / 20, -3, 3),
        np.clip(f[:, :, EYES], 0, 0.6) * 4,
        np.log2(size / 100) / 2,
        size / biggest,
        f[:, :, X] - 0.5,
        f[:, :, Y] - 0.5,
        np.clip(_correlation(grid, steady, look_ahead), -1, 1) * 2,
        (~np.isnan(yaw)).astype(float),
        logit(f[:, :, CONFIDENCE]) / LOGIT_LIMIT,
    ]
    rule = [logit(judged.to_me), logit(judged.speaking), logit(facing)]
    return np.nan_to_num(np.stack(columns, axis=-1)), np.nan_to_num(
        np.stack(rule, axis=-1), nan=0.0
    )


def _sound_features(grid: CueGrid, look_ahead: int | None) -> Floats:
    level = np.maximum(np.nan_to_num(grid.level_db, nan=QUIET_DB), QUIET_DB)
    loud = np.nan_to_num(rolling_max(level, reach(LOUD_S), look_ahead), nan=QUIET_DB)
    voice = np.nan_to_num(grid.voice)
    columns = [
        voice,
        np.nan_to_num(rolling_max(voice, 4, look_ahead)),
        rolling_mean(voice, reach(STEADY_S), look_ahead),
        np.maximum(level - loud, -40) / 20,
        (loud - QUIET_DB) / 40,
        (~np.isnan(grid.level_db)).astype(float),
    ]
    return np.asarray(np.nan_to_num(np.stack(columns, axis=-1)))


def _log_motion(motion: Floats) -> Floats:
    """Motion on a logarithmic scale, about -1 to 1."""
    return np.asarray(np.log(np.maximum(motion, 0.002) / 0.03) / 2)


def _change(values: Floats) -> Floats:
    """Change since the tick before, (P, T)."""
    return np.asarray(np.diff(values, axis=1, prepend=values[:, :1]))


def _correlation(grid: CueGrid, half: int, look_ahead: int | None) -> Floats:
    """(P, T) correlation of the lip opening with the level of the sound around each tick."""
    lip = grid.faces[:, :, LIP]
    level = np.clip(np.nan_to_num(grid.level_db, nan=QUIET_DB), QUIET_DB, 0) / 20
    level = np.where(np.isnan(lip), np.nan, level[None])
    opening, loudness = (Rolling(values, look_ahead) for values in (lip, level))
    cross = rolling_mean(lip * level, half, look_ahead) - opening.mean(half) * loudness.mean(half)
    spread = opening.std(half) * loudness.std(half)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(cross / np.maximum(spread, 1e-3))
