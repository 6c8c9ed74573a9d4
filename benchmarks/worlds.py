"""Evaluate weights in unseen simulated worlds: docs/experiments/worlds.md.

    python benchmarks/worlds.py --out FOLDER [--audio small --visual small] [--clips 200]

Simulates a test set of each preset with unseen seeds (new faces and rooms) and held-out voices,
predicts, and evaluates audio, visual, mean, constant and quality-aware fusion. Interrupted runs
resume. Writes `worlds.json` and `worlds.md`.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from quavf.core.records import Array, Floats, Ints
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.metrics import mean_average_precision
from quavf.evaluation.protocols import Evaluation, Protocol
from quavf.evaluation.rows import compute_systems
from quavf.results.scores import Scores, read_scores
from quavf.simulate.config import SimulateConfig
from quavf.store import ClipStore
from quavf.utils.files import write_json, write_text
from quavf.utils.parallel import EngineConfig
from quavf.workflows.evaluate import evaluate
from quavf.workflows.predict import predict
from quavf.workflows.prepare_simulated import TRUTH, prepare_simulated
from quavf.workflows.quality import score_quality

SEEDS = {"table": 102, "clean": 103, "party": 104}
FACE_WEIGHT = 0.7  # of the visual score; close to the mean quality of the windows
CUTS = {  # bin edges by column of the truth
    "yaw_deg": (0, 10, 20, 35, 55, 180),
    "distance_m": (0, 1, 1.5, 2, 5),
    "snr_db": (-100, 0, 6, 12, 100),
    "blur": (0, 0.02, 0.05, 0.1, 10),
    "light": (0, 0.3, 0.45, 0.6, 2),
}
NAMES = {
    "yaw_deg": "Yaw of the face, degrees",
    "distance_m": "Distance, m",
    "snr_db": "Voice over noise, dB",
    "blur": "Blur, of the face's height",
    "light": "Light on the face",
}


def bin_by_condition(store: ClipStore, scores: Scores, face_weight: float) -> dict[str, list[Any]]:
    """mAP of each system by bins of the frame's true conditions, on labelled frames."""
    labels, truth = read_labels_and_truth(store, scores)
    systems = compute_systems(scores, face_weight)
    return {name: _compute_bins(truth[name], CUTS[name], labels, systems) for name in CUTS}


def read_labels_and_truth(store: ClipStore, scores: Scores) -> tuple[Ints, dict[str, Floats]]:
    """Label (N,) of every score, -1 outside segments, and the truth (N,) about its frame."""
    keys: dict[tuple[str, int, int], int] = {}
    for row, key in enumerate(zip(scores.clip, scores.person, scores.frame, strict=True)):
        keys[str(key[0]), int(key[1]), int(key[2])] = row
    labels = np.full(len(scores), -1)
    truth = {name: np.full(len(scores), np.nan) for name in CUTS}
    for clip in store.clips():
        table = pq.read_table(store.folder(clip) / TRUTH, columns=["frame", "person", *CUTS])
        columns = {name: table[name].to_numpy() for name in table.column_names}
        found = [keys.get((clip, int(p), int(f)), -1) for p, f in _pair_keys(columns)]
        rows = np.array(found)
        for name in CUTS:
            truth[name][rows[rows >= 0]] = np.abs(columns[name][rows >= 0])
        truth["snr_db"][rows[rows >= 0]] = columns["snr_db"][rows >= 0]
        own = scores.clip == clip
        for s in store.manifest(clip).segments:
            inside = own & (scores.person == s.person)
            inside &= (scores.frame >= s.start_frame) & (scores.frame <= s.last_frame)
            labels[inside] = s.label
    return labels, truth


def _pair_keys(columns: dict[str, Array]) -> Any:
    return zip(columns["person"], columns["frame"], strict=True)


def _compute_bins(values: Array, cuts: Any, labels: Array, systems: dict[str, Array]) -> list[Any]:
    rows = []
    for low, high in pairwise(cuts):
        inside = (values >= low) & (values < high) & (labels >= 0)
        positive = int((labels[inside] == 1).sum())
        row: dict[str, Any] = {"low": low, "high": high, "rows": int(inside.sum())}
        row["positive"] = positive
        if 0 < positive < row["rows"]:
            for name, column in systems.items():
                row[name] = mean_average_precision(labels[inside], column[inside])
        rows.append(row)
    return rows


def _format_percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _format_protocol(protocol: Protocol) -> list[str]:
    lines = ["| system | mAP % | 95 % interval | accuracy % |", "|---|---|---|---|"]
    for name, result in protocol.systems.items():
        if result is not None:
            low, high = result.map_ci or (None, None)
            interval = f"{_format_percent(low)} – {_format_percent(high)}"
            accuracy = _format_percent(result.accuracy)
            lines.append(f"| {name} | {_format_percent(result.map)} | {interval} | {accuracy} |")
    lines += ["", "| difference of mAP, points | | 95 % interval |", "|---|---|---|"]
    for pair, difference in protocol.differences.items():
        if pair.startswith("fused-"):
            low, high = difference.ci or (None, None)
            interval = f"{_format_percent(low)} – {_format_percent(high)}"
            pair = pair.replace("-", " less ")
            lines.append(f"| {pair} | {_format_percent(difference.map)} | {interval} |")
    return lines


def format_page(preset: str, evaluation: Evaluation, when: dict[str, list[Any]]) -> str:
    """Format the tables of one world in Markdown."""
    counts = evaluation.frame.counts
    lines = [f"## {preset}", "", f"{counts['clips']} clips, {counts['rows']} frames, "]
    lines[-1] += f"{counts['positive_rows'] / counts['rows']:.0%} of them talking to me."
    lines += ["", "By frames:", "", *_format_protocol(evaluation.frame)]
    lines += ["", "By segments:", "", *_format_protocol(evaluation.segment), ""]
    systems = [name for name, result in evaluation.frame.systems.items() if result]
    head = f"| | rows | to me | {' | '.join(systems)} |"
    rule = "|---|---|---|" + "---|" * len(systems)
    lines += ["mAP % by condition, by frames:", "", head, rule]
    for b in evaluation.frame.quality_bins:
        if b.n_rows:
            share = f"{b.n_positive / b.n_rows:.0%}"
            values = " | ".join(_format_percent(b.map.get(name)) for name in systems)
            place = f"quality {b.low:.1f} – {b.high:.1f}"
            lines.append(f"| {place} | {b.n_rows} | {share} | {values} |")
    for column, bins in when.items():
        for row in bins:
            if row["rows"]:
                share = f"{row['positive'] / row['rows']:.0%}"
                values = " | ".join(_format_percent(row.get(name)) for name in systems)
                place = f"{NAMES[column]}: {row['low']} – {row['high']}"
                lines.append(f"| {place} | {row['rows']} | {share} | {values} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Evaluate all presets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--audio", default="small", help="checkpoint, or small")
    parser.add_argument("--visual", default="small", help="checkpoint, or small")
    parser.add_argument("--clips", type=int, default=200, help="clips per preset")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a clip")
    parser.add_argument("--presets", nargs="+", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    options = parser.parse_args()
    results, pages = {}, []
    for preset in options.presets:
        folder = options.out / preset
        config = SimulateConfig(SEEDS[preset], options.clips, options.seconds, preset, 0.0, 1.0)
        prepare_simulated(folder / "store", config, engine=EngineConfig(workers=options.workers))
        score_quality(folder / "store")
        predict(folder / "store", folder / "scores", options.audio, options.visual)
        judged = evaluate(
            folder / "scores",
            folder / "store",
            folder / "evaluation",
            EvaluateConfig(face_weight=FACE_WEIGHT),
        )
        store = ClipStore.open(folder / "store")
        when = bin_by_condition(store, read_scores(folder / "scores"), FACE_WEIGHT)
        pages.append(format_page(preset, judged, when))
        systems = {k: asdict(v) for k, v in judged.frame.systems.items() if v}
        results[preset] = {"frame": systems, "when": when}
        write_json(options.out / "worlds.json", results)
        write_text(options.out / "worlds.md", "\n".join(pages))
        print(pages[-1])


if __name__ == "__main__":
    main()
