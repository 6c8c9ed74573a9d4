"""Figures of an evaluation. Colours are Okabe and Ito's, apart for colour-blind readers too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quavf.core.branches import BRANCHES, FUSED, LOOKING, SPEAKING
from quavf.core.records import Floats, Ints
from quavf.evaluation.metrics import average_precision, precision_recall
from quavf.evaluation.protocols import Evaluation, Protocol, SystemResult
from quavf.evaluation.rows import CONSTANT, MEAN
from quavf.utils.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FUSIONS = {MEAN: ("#009E73", "--"), CONSTANT: ("#CC79A7", ":"), FUSED: ("#D55E00", "-")}
TASKS = {
    SPEAKING: ("Speaking", ("#56B4E9", "-")),
    LOOKING: ("Looking at me", ("#009E73", "-")),
}
INK = "#333333"
GRID = "#DDDDDD"
DPI = 150
MAX_POINTS = 4000  # of a curve: more than the picture has pixels


def draw_precision_recall(path: Path, protocol: Protocol) -> None:
    """Precision over recall of every system, for both classes, with the share of the class."""
    figure, axes = _figure(2, size=(10.5, 5.4))
    labels = protocol.rows.labels
    _draw_class(axes[0], "Talking to me", protocol, labels, lambda scores: scores)
    _draw_class(axes[1], "Not talking to me", protocol, 1 - labels, lambda scores: -scores)
    counts = protocol.counts
    title = f"Precision and recall on {counts['rows']:,} face frames of {counts['clips']:,} clips"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    _save(figure, path)


def draw_quality_bins(path: Path, protocol: Protocol) -> None:
    """mAP of every system in each bin of face quality, over how many frames the bin holds."""
    figure, (upper, lower) = _figure(2, size=(8.0, 6.0), heights=(3.2, 1.0))
    _draw_bin_maps(upper, protocol)
    _draw_bin_counts(lower, protocol)
    for axes in (upper, lower):
        axes.set_xlim(0, 1)
        axes.set_xticks(np.linspace(0, 1, 11))
    _save(figure, path)


def draw_reliability(path: Path, evaluation: Evaluation) -> None:
    """Share of positive frames over mean score, in bins of equal size, with the bins' counts."""
    talking = {n: r for n, r in evaluation.frame.systems.items() if r is not None}
    panels = [("Talking to me", talking)] if talking else []
    for name, task in evaluation.tasks.items():
        panels.append((TASKS[name][0], {name: task.frame}))
    figure, axes = _figure(len(panels), size=(1.2 + 4.6 * len(panels), 5.6))
    for each, (title, results) in zip(axes, panels, strict=True):
        _draw_reliability(each, title, results)
    axes[0].set_ylabel("Frames that are positive (%)")
    title = f"Reliability: up to {evaluation.config.n_reliability_bins} bins of equally many frames"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    _save(figure, path)


def _draw_reliability(axes: Axes, title: str, results: dict[str, SystemResult]) -> None:
    axes.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle=(0, (2, 3)), label="Calibrated")
    for name, result in results.items():
        counts = [b.n_rows for b in result.reliability]
        size = "–".join(f"{n:,}" for n in sorted({min(counts), max(counts)}))
        axes.plot(
            [b.score * 100 for b in result.reliability],
            [b.share * 100 for b in result.reliability],
            marker="o",
            markersize=4,
            **_line_style(name),
            label=f"{name.capitalize()} · ECE {result.ece * 100:.1f} % · {len(counts)} × {size}",
        )
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("Mean score (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=9)


def _draw_bin_maps(axes: Axes, protocol: Protocol) -> None:
    bins = protocol.quality_bins
    for name in protocol.rows.systems:
        values = [b.map.get(name) for b in bins]
        axes.plot(
            _centres(protocol),
            [np.nan if value is None else value * 100 for value in values],
            marker="o",
            markersize=5,
            **_line_style(name),
            label=name.capitalize(),
        )
    axes.set_ylabel("mAP (%)")
    axes.set_title("mAP by face quality", loc="left", fontweight="bold", color=INK, pad=26)
    axes.legend(frameon=False, ncols=5, loc="lower left", bbox_to_anchor=(-0.01, 1), fontsize=9)
    axes.tick_params(labelbottom=False)
    if any(value is not None for b in bins for value in b.map.values()):
        axes.set_ylim(top=min(axes.get_ylim()[1], 102))
        return
    axes.set_ylim(0, 102)
    text = "Nothing to draw: no bin holds frames of known quality of both classes"
    axes.text(0.5, 50, text, ha="center", color=INK)


def _draw_bin_counts(axes: Axes, protocol: Protocol) -> None:
    bins = protocol.quality_bins
    width = 0.9 / len(bins)
    positives = np.array([b.n_positive for b in bins])
    negatives = np.array([b.n_rows for b in bins]) - positives
    centres = _centres(protocol)
    axes.bar(centres, negatives, width, color="#BBBBBB", label="Not talking to me")
    axes.bar(centres, positives, width, bottom=negatives, color="#666666", label="Talking to me")
    axes.set_ylim(0, max(1, 1.05 * (positives + negatives).max()))
    axes.set_ylabel("Face frames")
    axes.set_xlabel("Face quality (0: no usable face, 1: clear and frontal)")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 0.98))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="y", nbins=3, integer=True)


def _centres(protocol: Protocol) -> Floats:
    return np.array([(b.low + b.high) / 2 for b in protocol.quality_bins])


def _draw_class(
    axes: Axes,
    title: str,
    protocol: Protocol,
    labels: Ints,
    ranking: Callable[[Floats], Floats],
) -> None:
    for name, scores in protocol.rows.systems.items():
        has_value = ~np.isnan(scores)
        truth, ranked = labels[has_value], ranking(scores[has_value])
        if not truth.any():
            continue
        recall, precision = precision_recall(truth, ranked)
        keep = np.unique(np.linspace(0, len(recall) - 1, MAX_POINTS).astype(int))
        area = average_precision(truth, ranked)
        axes.step(
            np.append(0, recall[keep]) * 100,
            np.append(precision[0], precision[keep]) * 100,
            where="pre",
            **_line_style(name),
            label=f"{name.capitalize()} · AP {area * 100:.1f} %",
        )
    share = labels.mean() * 100
    axes.axhline(
        share, color=INK, linewidth=1, linestyle=(0, (2, 3)), label=f"Guessing · {share:.1f} %"
    )
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("Recall (%): how many are found")
    axes.set_ylabel("Precision (%): how many of those are right")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.legend(
        frameon=False,
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        fontsize=9,
        handlelength=1.6,
        columnspacing=1.2,
    )


def _line_style(system: str) -> dict[str, Any]:
    """Colour, dashes and width of a system's curve."""
    if system in TASKS:
        colour, dashes = TASKS[system][1]
    else:
        colour, dashes = FUSIONS.get(system) or (BRANCHES.get(system).colour, "-")
    return {
        "color": colour,
        "linestyle": dashes,
        "linewidth": 2.6 if system == FUSED else 1.7,
    }


def _figure(
    n_axes: int, size: tuple[float, float], heights: tuple[float, ...] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure with its axes side by side, or one above the other when heights are given."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # no window, whatever the user's settings say
    if heights is None:
        grid = figure.subplots(1, n_axes, squeeze=False)
    else:
        grid = figure.subplots(n_axes, 1, squeeze=False, height_ratios=heights)
    axes = list(grid.flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.spines[["left", "bottom"]].set_color(INK)
        each.tick_params(colors=INK, labelsize=9)
        each.grid(color=GRID, linewidth=0.8)
        each.set_axisbelow(True)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor="white")
