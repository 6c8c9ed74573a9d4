"""Upper bound of gated fusion: does any cue tell which branch is right?

    python benchmarks/gate.py WORLD [WORLD ...]

WORLD is the folder of a preset made by `benchmarks/worlds.py` (with `store` and `scores`). Fits a
logistic model to the log odds of both branches, cross-validated over clips, without and with a
gate: face quality, or the truth about the frame, weights the branches. If no gate helps, the world
has no cue for quality-aware fusion to use. Prints differences in mAP points with 95 % intervals,
bootstrapped by clip.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from quavf.core.records import Array, Floats, Ints
from quavf.evaluation.metrics import bootstrap_by_clip, mean_average_precision
from quavf.results.scores import read_scores
from quavf.store import ClipStore
from worlds import NAMES, read_labels_and_truth

FOLDS = 5
PENALTY = 1e-4  # of the squared weights, against the mean log loss


def compute_log_odds(scores: Floats) -> Floats:
    """Log odds of (N,) scores, clipped to a finite range."""
    inside = scores.clip(1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside / (1 - inside)))


def cross_validate(columns: list[Floats], labels: Ints, clip: Array) -> Floats:
    """(N,) cross-validated scores of a logistic model of `columns`, with folds of whole clips."""
    x = np.column_stack([np.ones(len(labels)), *((c - c.mean()) / c.std() for c in columns)])
    sign = 2.0 * labels - 1.0
    found = np.empty(len(labels))
    for fold in range(FOLDS):
        left = clip % FOLDS == fold
        seen, signs = x[~left], sign[~left]

        def loss(w: Floats, seen: Floats = seen, signs: Floats = signs) -> tuple[float, Floats]:
            margin = signs * (seen @ w)
            slope = -(signs / (1 + np.exp(margin))) @ seen / len(signs) + 2 * PENALTY * w
            return float(np.logaddexp(0, -margin).mean() + PENALTY * w @ w), slope

        found[left] = x[left] @ minimize(loss, np.zeros(x.shape[1]), jac=True).x
    return found


def format_table(world: Path) -> list[str]:
    """Format the table of one world, one row per gate."""
    scores = read_scores(world / "scores")
    labels, truth = read_labels_and_truth(ClipStore.open(world / "store"), scores)
    kept = (labels >= 0) & ~np.isnan(scores.audio) & ~np.isnan(scores.visual)
    labels, clip = labels[kept], np.unique(scores.clip[kept].astype(str), return_inverse=True)[1]
    heard, seen = compute_log_odds(scores.audio[kept]), compute_log_odds(scores.visual[kept])
    plain = cross_validate([heard, seen], labels, clip)
    low, middle, high = np.percentile(scores.quality[kept], [5, 50, 95])
    lines = [f"{world.name}: quality {low:.2f}, {middle:.2f}, {high:.2f} (5, 50 and 95 %)", ""]
    lines += ["| gate | mAP % | gain | 95 % interval |", "|---|---|---|---|"]
    lines.append(f"| none | {100 * mean_average_precision(labels, plain):.1f} | | |")
    gates = {"quality": scores.quality[kept]}
    gates |= {NAMES[name]: values[kept] for name, values in truth.items()}
    for name, values in gates.items():
        finite = np.nan_to_num(values, nan=0.0, posinf=60.0, neginf=-60.0)
        gate = (finite - finite.mean()) / finite.std()
        gated = cross_validate([heard, seen, gate * heard, gate * seen], labels, clip)
        pair = {"plain": plain, "gated": gated}
        low, high = bootstrap_by_clip(labels, pair, clip).differences["gated-plain"]
        value = mean_average_precision(labels, gated)
        gain = value - mean_average_precision(labels, plain)
        interval = f"{100 * low:+.1f} – {100 * high:+.1f}"
        lines.append(f"| {name} | {100 * value:.1f} | {100 * gain:+.1f} | {interval} |")
    return lines


def main() -> None:
    """Print a table for each world."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("worlds", nargs="+", type=Path, metavar="WORLD")
    for world in parser.parse_args().worlds:
        print("\n".join(format_table(world)), end="\n\n")


if __name__ == "__main__":
    main()
