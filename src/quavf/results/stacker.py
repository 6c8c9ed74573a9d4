"""Learned fusion: calibrated probabilities from the branches' scores.

One logistic regression for each set of branches that a row may have. It adds up the logits of the
branches' scores; how much each counts depends on how well the face can be seen. A higher score of a
branch never lowers the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from quavf.core.errors import ConfigError
from quavf.core.records import Array, Floats
from quavf.results.minimise import minimise

LOWEST = 1e-3  # scores are kept this far from 0 and 1: none alone decides
WIDEST = 2.5  # deviations from the mean that a modulator may reach
SHRINK = 0.05  # pull of the modulators' effects to 0, per row
SHRINK_SCALES = 1e-4  # pull of the scores' weights to an even sum
LOGARITHMIC = ("face_size",)  # modulators that count by their logarithm


@dataclass(frozen=True)
class Modulator:
    """A measure of how well a face can be seen, and its mean and deviation when fitted."""

    name: str
    mean: float
    deviation: float

    @classmethod
    def fit(cls, name: str, values: Floats) -> Modulator:
        """Measure values (N,), NaN where missing."""
        known = _transform(name, values)
        known = known[np.isfinite(known)]
        if not len(known):
            return cls(name, 0.0, 1.0)
        return cls(name, float(known.mean()), float(max(known.std(), 1e-6)))

    def scale(self, values: Floats) -> Floats:
        """Deviations from the mean (N,), within bounds; 0 where the value is missing."""
        scaled = (_transform(self.name, values) - self.mean) / self.deviation
        return np.asarray(np.nan_to_num(np.clip(scaled, -WIDEST, WIDEST)))


@dataclass(frozen=True)
class Weights:
    """The regression for one set of inputs; each row: a constant, then one value a modulator.

    `bias` (1 + M,); `slopes` (inputs, 1 + M), of which the softplus is an input's weight.
    """

    inputs: tuple[str, ...]
    bias: Floats
    slopes: Floats

    def logits(self, scores: Floats, modulators: Floats) -> Floats:
        """Logits (N,) from the inputs' logits (N, inputs) and [1, modulators] (N, 1 + M)."""
        slopes = _softplus(modulators @ self.slopes.T)  # (N, inputs)
        return np.asarray(modulators @ self.bias + (slopes * scores).sum(axis=1))


@dataclass(frozen=True)
class Stacker:
    """The fusion of a bundle: fitted on validation clips, kept as plain numbers.

    Args:
        inputs: Score columns that are fused.
        modulators: What decides how much each counts; a missing value counts as the mean.
        weights: The regressions, by the set of inputs that a row has.
    """

    inputs: tuple[str, ...]
    modulators: tuple[Modulator, ...]
    weights: tuple[Weights, ...]

    def fuse(self, columns: Mapping[str, Floats]) -> Floats:
        """Probabilities of talking to me (N,); NaN in a row without any input.

        `columns` may hold others, and may lack some; NaN is missing.
        """
        n_rows = len(next(iter(columns.values()), ()))
        missing = np.full(n_rows, np.nan)
        scores = np.array([columns.get(name, missing) for name in self.inputs])  # (inputs, N)
        seen = self._modulate(columns, n_rows)
        there = ~np.isnan(scores)
        fused = missing.copy()
        for weights in self.weights:
            used = np.isin(self.inputs, weights.inputs)
            rows = np.flatnonzero((there == used[:, None]).all(axis=0))
            logits = weights.logits(to_logits(scores[used][:, rows].T), seen[rows])
            fused[rows] = 1 / (1 + np.exp(-logits))
        return fused

    def _modulate(self, columns: Mapping[str, Floats], n_rows: int) -> Floats:
        """[1, modulators] (N, 1 + M)."""
        missing = np.full(n_rows, np.nan)
        scaled = [m.scale(columns.get(m.name, missing)) for m in self.modulators]
        return np.stack([np.ones(n_rows), *scaled], axis=1)

    def to_json(self) -> dict[str, Any]:
        """Plain values that `read_stacker` reads."""
        return {
            "kind": "stacker",
            "inputs": list(self.inputs),
            "modulators": [
                {"name": m.name, "mean": m.mean, "deviation": m.deviation} for m in self.modulators
            ],
            "weights": [
                {"inputs": list(w.inputs), "bias": w.bias.tolist(), "slopes": w.slopes.tolist()}
                for w in self.weights
            ],
        }


@dataclass(frozen=True)
class Start:
    """A fusion that a new one starts from.

    `hold` is how strongly each number is pulled back to where it was, against the mean loss.
    """

    stacker: Stacker
    hold: float


def read_stacker(content: Mapping[str, Any]) -> Stacker:
    """The stacker that `to_json` described. Raises ConfigError that names the field."""
    try:
        stacker = Stacker(
            tuple(map(str, content["inputs"])),
            tuple(
                Modulator(str(m["name"]), float(m["mean"]), float(m["deviation"]))
                for m in content["modulators"]
            ),
            tuple(
                Weights(tuple(map(str, w["inputs"])), np.array(w["bias"], float), _matrix(w))
                for w in content["weights"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"fusion: {type(error).__name__}: {error}; make the bundle again with `quavf bundle`"
        ) from None
    width = 1 + len(stacker.modulators)
    for weights in stacker.weights:
        shapes = (weights.bias.shape, weights.slopes.shape)
        known = set(weights.inputs) <= set(stacker.inputs)
        if shapes != ((width,), (len(weights.inputs), width)) or not known:
            raise ConfigError(
                f"fusion.weights: those of {', '.join(weights.inputs)} do not fit the inputs and "
                "the modulators; make the bundle again with `quavf bundle`"
            )
    return stacker


def fit_stacker(
    inputs: Sequence[str],
    modulators: Sequence[str],
    columns: Mapping[str, Floats],
    labels: Array,
    weights: Floats | None = None,
    start: Start | None = None,
) -> Stacker:
    """Fit the fusion of score columns to labels (N,) of 0 and 1; deterministic.

    `columns` (N,) each, NaN where missing; `weights` (N,) of the rows, default: all alike. For each
    set of inputs, all rows that have them count, with the other inputs left out. With a `start`,
    its modulators are kept, and what labels do not tell stays as there.
    """
    n_rows = len(labels)
    missing = np.full(n_rows, np.nan)
    fitted = tuple(Modulator.fit(name, columns.get(name, missing)) for name in modulators)
    before: dict[tuple[str, ...], Weights] = {}
    if start is not None:
        fitted = start.stacker.modulators
        before = {own.inputs: own for own in start.stacker.weights}
    seen = Stacker(tuple(inputs), fitted, ())._modulate(columns, n_rows)
    logits = to_logits(np.stack([columns.get(name, missing) for name in inputs], axis=1))
    share = np.ones(n_rows) if weights is None else weights
    found = []
    for size in range(1, len(inputs) + 1):
        for chosen in combinations(range(len(inputs)), size):
            rows = np.flatnonzero(~np.isnan(logits[:, chosen]).any(axis=1))
            names = tuple(inputs[i] for i in chosen)
            if len(np.unique(labels[rows])) == 2:
                own = (logits[rows][:, chosen], seen[rows], labels[rows], share[rows])
                prior = _Prior.build(names, seen.shape[1], before.get(names), start)
                found.append(_fit(names, *own, prior))
            elif names in before:
                found.append(before[names])
    return Stacker(tuple(inputs), fitted, tuple(found))


@dataclass(frozen=True)
class _Prior:
    """Where a regression starts, and how strongly it is pulled back there."""

    table: Floats  # (1 + inputs, 1 + M): the biases, then each input's slopes
    pull: Floats  # the same shape

    @classmethod
    def build(
        cls, inputs: tuple[str, ...], width: int, before: Weights | None, start: Start | None
    ) -> _Prior:
        table = np.zeros((1 + len(inputs), width))
        table[1:, 0] = np.log(np.expm1(1 / len(inputs)))  # softplus of it * inputs is 1
        pull = np.full(table.shape, SHRINK)
        pull[:, 0] = SHRINK_SCALES
        pull[0, 0] = 0.0
        if before is not None and start is not None:
            table = np.vstack([before.bias, before.slopes])
            pull = np.maximum(pull, start.hold)
        return cls(table, pull)


def _fit(
    inputs: tuple[str, ...],
    scores: Floats,
    seen: Floats,
    labels: Array,
    share: Floats,
    prior: _Prior,
) -> Weights:
    """The regression of labels (N,) on the inputs' logits (N, P) and [1, modulators] (N, W)."""
    share = share / share.sum()
    start, pull = prior.table, prior.pull

    def loss(flat: Floats) -> tuple[float, Floats]:
        table = flat.reshape(start.shape)
        raw = seen @ table[1:].T  # (N, P)
        z = seen @ table[0] + (_softplus(raw) * scores).sum(axis=1)
        value = share @ (np.logaddexp(0, z) - labels * z)
        error = share * (1 / (1 + np.exp(-z)) - labels)  # (N,)
        inner = error[:, None] * scores / (1 + np.exp(-raw))  # (N, P)
        gradient = np.concatenate([(error @ seen)[None], inner.T @ seen])
        away = table - start
        return float(value + (pull * away**2).sum() / 2), (gradient + pull * away).ravel()

    best = minimise(loss, start.ravel()).reshape(start.shape)
    return Weights(inputs, np.round(best[0], 6), np.round(best[1:], 6))


def to_logits(scores: Floats) -> Floats:
    """Logits of scores in [0, 1]; NaN stays NaN."""
    inside = np.clip(scores, LOWEST, 1 - LOWEST)
    return np.asarray(np.log(inside / (1 - inside)))


def _transform(name: str, values: Floats) -> Floats:
    if name not in LOGARITHMIC:
        return values
    return np.asarray(np.log(np.maximum(values, 1e-3)))


def _softplus(x: Floats) -> Floats:
    return np.asarray(np.logaddexp(0, x))


def _matrix(content: Mapping[str, Any]) -> Floats:
    return np.array(content["slopes"], float).reshape(len(content["inputs"]), -1)
