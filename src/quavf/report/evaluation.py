"""Reports of an evaluation: metrics.json, Markdown tables, three figures, tables on the screen.

Fractions in the file, percent for the reader.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quavf.core.branches import FUSED, LOOKING, QUALITY, SPEAKING
from quavf.evaluation.ava import AvaResult
from quavf.evaluation.metrics import Bounds
from quavf.evaluation.protocols import Difference, Evaluation, Protocol, SystemResult
from quavf.report.figures import draw_precision_recall, draw_quality_bins, draw_reliability
from quavf.utils.extras import is_installed, missing_library
from quavf.utils.files import write_json, write_text

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
TABLE_FILE = "metrics.md"
PRECISION_RECALL_FILE = "precision_recall.png"
QUALITY_BINS_FILE = "quality_bins.png"
RELIABILITY_FILE = "reliability.png"
FIGURE_FILES = (PRECISION_RECALL_FILE, QUALITY_BINS_FILE, RELIABILITY_FILE)
TITLES = {
    "frame": "Frames: one row for every scored face frame",
    "segment": "Segments: one row for every labelled stretch of speech",
}
NONE = "–"
SYSTEM_HEADER = ("System", "mAP % [interval]", "Accuracy %", "ECE %", "Rows", "To me", "Clips")
TASK_TITLES = {SPEAKING: "Speaking", LOOKING: "Looking at me"}
TASK_HEADER = ("Task", "Rows are", *SYSTEM_HEADER[1:5], "Positive", "Clips")
SHOWN = 6  # columns of it that the screen has room for
DIFFERENCE_TITLE = "Differences of mAP, in points"
PART_TITLE = "What each part adds: fused less fused without it, in points of mAP"


def write_evaluation(folder: Path, evaluation: Evaluation) -> dict[str, Path]:
    """Write numbers, table and figures into `folder`, each atomically; return their paths.

    Figures are left out, with a warning, where matplotlib is not installed.
    In `metrics.json`, `frame.<system>.map` and `segment.<system>.map` are fractions in [0, 1];
    null means that there was nothing to judge.
    """
    names = (METRICS_FILE, TABLE_FILE, *FIGURE_FILES)
    paths = {name: Path(folder) / name for name in names}
    write_json(paths[METRICS_FILE], collect_metrics(evaluation))
    write_text(paths[TABLE_FILE], format_markdown(evaluation))
    if not is_installed("matplotlib"):
        log.warning("no figures: %s", missing_library("matplotlib", "drawing them"))
        return {name: path for name, path in paths.items() if name not in FIGURE_FILES}
    if evaluation.frame.systems:
        draw_precision_recall(paths[PRECISION_RECALL_FILE], evaluation.frame)
        draw_quality_bins(paths[QUALITY_BINS_FILE], evaluation.frame)
    else:
        for name in (PRECISION_RECALL_FILE, QUALITY_BINS_FILE):
            paths.pop(name).unlink(missing_ok=True)
    draw_reliability(paths[RELIABILITY_FILE], evaluation)
    return paths


def collect_metrics(evaluation: Evaluation) -> dict[str, Any]:
    """The content of `metrics.json`: each protocol's systems, then everything else by name."""
    protocols = {"frame": evaluation.frame, "segment": evaluation.segment}
    content: dict[str, Any] = {
        name: {
            key: asdict(result) if result else None
            for key, result in (p.systems | _task_results(evaluation, name)).items()
        }
        for name, p in protocols.items()
    }
    reliability = {
        name: {key: result.pop("reliability") for key, result in results.items() if result}
        for name, results in content.items()
    }
    content["contributions"] = {
        name: {part: asdict(contribution) for part, contribution in p.contributions.items()}
        for name, p in protocols.items()
    }
    content["reliability"] = reliability
    content["differences"] = {
        name: {pair: asdict(difference) for pair, difference in p.differences.items()}
        for name, p in protocols.items()
    }
    content["quality_bins"] = {
        name: [asdict(quality_bin) for quality_bin in p.quality_bins]
        for name, p in protocols.items()
    }
    content["counts"] = {
        **evaluation.counts,
        **{name: dict(p.counts) for name, p in protocols.items()},
    }
    if evaluation.ava is not None:
        content["ava"] = asdict(evaluation.ava)
    content["config"] = asdict(evaluation.config)
    return content


def _task_results(evaluation: Evaluation, protocol: str) -> dict[str, SystemResult]:
    return {name: getattr(task, protocol) for name, task in evaluation.tasks.items()}


def format_markdown(evaluation: Evaluation) -> str:
    """Format results, differences, face quality and what was left out as Markdown."""
    lines = ["# Evaluation", "", _explain(evaluation), ""]
    for name, protocol in _judged(evaluation):
        lines += [f"## {TITLES[name]}", ""]
        official = [_official(result) for result in protocol.systems.values()]
        rows = [(*row, cell) for row, cell in zip(_system_rows(protocol), official, strict=True)]
        lines += _markdown_table((*SYSTEM_HEADER, "Official mAP %"), rows)
        if protocol.counts["common_rows"] < protocol.counts["rows"]:
            lines += [_common_rows_note(protocol), ""]
    if evaluation.frame.systems:
        lines += ["Official mAP: the challenge's own way with equal scores, in row order.", ""]
        lines += [f"## {DIFFERENCE_TITLE}", ""]
        lines += _markdown_table(("Difference", "Frames", "Segments"), _difference_rows(evaluation))
    if parts := _part_rows(evaluation):
        lines += [f"## {PART_TITLE}", ""]
        lines += _markdown_table(("Part", "Frames", "Segments"), parts)
    if evaluation.tasks:
        lines += ["## Speaking and looking at me", "", _explain_tasks(evaluation), ""]
        lines += _markdown_table(TASK_HEADER, _task_rows(evaluation))
    if evaluation.ava is not None:
        lines += ["## AVA-ActiveSpeaker", "", _describe_ava(evaluation.ava), ""]
    if systems := list(evaluation.frame.rows.systems):
        lines += ["## By face quality (frames, mAP %)", ""]
        header = ("Quality", "Rows", "Talking to me", *(name.capitalize() for name in systems))
        lines += _markdown_table(header, _bin_rows(evaluation.frame, systems))
    lines += ["## What was judged and what was left out", ""]
    counts = [(key.replace("_", " "), f"{n:,}") for key, n in evaluation.counts.items()]
    lines += _markdown_table(("What", "How many"), counts)
    return "\n".join(lines)


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print results and differences, in percent, and say which differences are clear."""
    for name, protocol in _judged(evaluation):
        table = _screen_table(TITLES[name], SYSTEM_HEADER)
        for row in _system_rows(protocol):
            table.add_row(*map(Text, row), style="bold" if row[0] == FUSED.capitalize() else None)
        console.print(table)
        if protocol.counts["common_rows"] < protocol.counts["rows"]:
            console.print(_common_rows_note(protocol), style="dim", highlight=False)
        console.print()
    tasks = _task_rows(evaluation)
    further: list[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = [
        ("Speaking and looking at me", TASK_HEADER[:SHOWN], [r[:SHOWN] for r in tasks]),
        (DIFFERENCE_TITLE, ("Difference", "Frames", "Segments"), _difference_rows(evaluation)),
        (PART_TITLE, ("Part", "Frames", "Segments"), _part_rows(evaluation)),
    ]
    for title, header, cells in further:
        if cells:
            table = _screen_table(title, header)
            for each in cells:
                table.add_row(*map(Text, each))
            console.print(table)
            console.print()
    if evaluation.ava is not None:
        console.print(_describe_ava(evaluation.ava), highlight=False)
    for line in _describe_unmatched(evaluation):
        console.print(line, highlight=False)
    console.print(_explain(evaluation), style="dim", highlight=False)


def _protocols(evaluation: Evaluation) -> list[tuple[str, Protocol]]:
    return [("frame", evaluation.frame), ("segment", evaluation.segment)]


def _judged(evaluation: Evaluation) -> list[tuple[str, Protocol]]:
    """The protocols that judge who talks to the wearer; none where that is not labelled."""
    return [(name, protocol) for name, protocol in _protocols(evaluation) if protocol.systems]


def _describe_ava(ava: AvaResult) -> str:
    text = (
        f"AVA's own average precision of speaking: {_percent(ava.ap)} % on all {ava.n_rows:,} rows "
        f"of its files ({ava.n_positive:,} speak and are heard)."
    )
    if ava.n_filled:
        text += f" {ava.n_filled:,} rows without a score take their neighbours' in time."
    if ava.n_unknown:
        text += f" {ava.n_unknown:,} rows without a score nearby take the mean of all scores."
    return text


def _explain(evaluation: Evaluation) -> str:
    config, counts = evaluation.config, evaluation.frame.counts
    text = (
        f"mAP: mean of the average precisions of {_name_classes(evaluation)}; "
        "100 is perfect. ECE: expected calibration error, the mean distance between a score and "
        "the share of rows like it that are positive; 0 is perfect. "
    )
    if not counts["resamples"]:
        return text + "No intervals: they need two clips or more, and resamples."
    return text + (
        f"Brackets: {config.confidence * 100:g} % interval over {counts['clips']} clips "
        f"({counts['resamples']} bootstrap resamples of whole clips). A difference is called "
        "higher or lower when its interval leaves out zero, else unclear."
    )


def _name_classes(evaluation: Evaluation) -> str:
    return "“talking to me” and “not talking to me”" if evaluation.frame.systems else "yes and no"


def _common_rows_note(protocol: Protocol) -> str:
    counts = protocol.counts
    return (
        f"Each system is judged on the rows it has; differences on the {counts['common_rows']:,} "
        f"of {counts['rows']:,} rows that all systems have."
    )


def _system_rows(protocol: Protocol) -> list[tuple[str, ...]]:
    return [(name.capitalize(), *_system_cells(r)) for name, r in protocol.systems.items()]


def _system_cells(result: SystemResult | None) -> tuple[str, ...]:
    if result is None:
        return (NONE,) * (len(SYSTEM_HEADER) - 1)
    return (
        _percent(result.map) + _bracket(result.map_ci),
        _percent(result.accuracy),
        _percent(result.ece),
        f"{result.n_rows:,}",
        f"{result.n_positive / result.n_rows:.0%}",
        f"{result.n_clips:,}",
    )


def _official(result: SystemResult | None) -> str:
    return NONE if result is None else _percent(result.map_official)


def _difference_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Fused against the others first."""
    frame, segment = evaluation.frame.differences, evaluation.segment.differences
    pairs = sorted(dict.fromkeys([*frame, *segment]), key=lambda p: not p.startswith(FUSED))
    return [
        (
            " − ".join(pair.split("-")).capitalize(),
            _difference_cell(frame.get(pair)),
            _difference_cell(segment.get(pair)),
        )
        for pair in pairs
    ]


def _part_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    frame, segment = (
        {name: part.gain for name, part in p.contributions.items()}
        for _, p in _protocols(evaluation)
    )
    return [
        (
            f"{name.capitalize()} of faces" if name == QUALITY else name.capitalize(),
            _difference_cell(frame.get(name)),
            _difference_cell(segment.get(name)),
        )
        for name in dict.fromkeys([*frame, *segment])
    ]


def _task_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    return [
        (TASK_TITLES.get(name, name), protocol, *_system_cells(result))
        for name, task in evaluation.tasks.items()
        for protocol, result in (("Frames", task.frame), ("Segments", task.segment))
    ]


def _explain_tasks(evaluation: Evaluation) -> str:
    how = {"mean": "mean", "max": "highest"}[evaluation.config.segment_score]
    return (
        "Judged on all scored faces of clips that are labelled for it, in segments of speech or "
        "not. A segment is a stretch of a person's faces with one label; its score is the "
        f"{how} of theirs."
    )


def _describe_unmatched(evaluation: Evaluation) -> list[str]:
    """Sentences about faces of the store without a score, and scores that fit no face."""
    counts = evaluation.counts
    lines = []
    if n := counts.get("store_faces_without_score"):
        lines.append(
            f"{n:,} of {counts['store_faces']:,} faces in labelled segments of the store have no "
            f"score ({counts['store_clips_without_score']:,} clips have none at all)."
        )
    if n := counts.get("scores_without_face"):
        lines.append(f"{n:,} scores belong to no face of the store.")
    if n := counts.get("scores_not_finite"):
        lines.append(f"{n:,} scores are not finite and count as missing.")
    return lines


def _difference_cell(difference: Difference | None) -> str:
    if difference is None or difference.map is None:
        return NONE
    gain = f"{difference.map * 100:+.1f}"
    if difference.ci is None:
        return gain
    low, high = difference.ci
    verdict = "higher" if low > 0 else "lower" if high < 0 else "unclear"
    return f"{gain}{_bracket(difference.ci, '+')} {verdict}"


def _bin_rows(protocol: Protocol, systems: Sequence[str]) -> list[tuple[str, ...]]:
    return [
        (
            f"{b.low:.3g}–{b.high:.3g}",
            f"{b.n_rows:,}",
            f"{b.n_positive:,}",
            *(_percent(b.map.get(name)) for name in systems),
        )
        for b in protocol.quality_bins
    ]


def _percent(fraction: float | None) -> str:
    return NONE if fraction is None else f"{fraction * 100:.1f}"


def _bracket(interval: Bounds | None, sign: str = "") -> str:
    if interval is None:
        return ""
    low, high = (f"{value * 100:{sign}.1f}" for value in interval)
    return f" [{low}, {high}]"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, numbers to the right, an empty line last."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)] + [""]


def _screen_table(title: str, header: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(header[0], no_wrap=True)
    for name in header[1:]:
        table.add_column(Text(name), justify="right")
    return table
