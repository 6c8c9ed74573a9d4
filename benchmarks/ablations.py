"""The published ablations in a simulated world: what face quality contributes.

    python benchmarks/ablations.py --out FOLDER --train STORE --test STORE [--backbone FILE]

Trains the visual branch as published (frozen image network, windows of quality 0.3 or more, quality
as an input), then without the filter, without the input, and without both, on the train split of
one store. Evaluates each with the same audio branch on another store. "No quality in fusion" is the
plain mean. The image network is that of the weights `small`, or FILE, such as the ImageNet weights
of `scripts/registry_weights.py`. Its features are cached, so a run takes minutes. Interrupted runs
resume. Writes `ablations.md`.

`scripts/make_small.py` makes training stores, `benchmarks/worlds.py` test stores.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from quavf.core.config import from_dict
from quavf.core.records import Floats
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.metrics import bootstrap_by_clip, mean_average_precision
from quavf.evaluation.rows import Rows
from quavf.inference.config import PredictConfig
from quavf.models.bundled import weights_path
from quavf.models.tensors import read_weights
from quavf.training.config import TrainVisualConfig
from quavf.utils.files import replace_file, write_text
from quavf.workflows.evaluate import evaluate
from quavf.workflows.predict import predict
from quavf.workflows.train import train_visual

PUBLISHED_QUALITY = 0.3  # minimum of training windows
SYSTEMS = ("visual", "mean", "fused")
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "no quality filter": {"min_quality": 0.0},
    "no quality input": {"use_quality": False},
    "neither": {"min_quality": 0.0, "use_quality": False},
}


def extract_backbone(file: Path) -> Path:
    """Write the image network of the weights `small`, without its last layer, to `file`."""
    weights = read_weights(weights_path("small", "visual"))
    inside = {k.removeprefix("backbone."): v for k, v in weights.items() if "backbone." in k}
    with replace_file(file) as temporary:
        save_file({k: v.float() for k, v in inside.items() if "classifier" not in k}, temporary)
    return file


def build_config(options: argparse.Namespace, changes: dict[str, Any]) -> TrainVisualConfig:
    """Build the published recipe for small pictures, with enough steps for a small data set."""
    values = {
        "semantics": "fixed",
        "quality": "light",
        "visual": {
            "backbone": "mobilenetv2_100",
            "backbone_weights": str(options.backbone),
            "size": 112,
            "dim": 128,
            "n_heads": 4,
            "use_quality": changes.get("use_quality", True),
        },
        "windows": {
            "step": options.step,
            "min_quality": changes.get("min_quality", PUBLISHED_QUALITY),
        },
        "trainer": {
            "epochs": options.epochs,
            "lr": 3e-4,
            "cache": str(options.out / "cache"),
        },
    }
    return from_dict(TrainVisualConfig, values, "ablations")


def evaluate_variant(
    options: argparse.Namespace, name: str, changes: dict[str, Any]
) -> tuple[int, Rows]:
    """Train and evaluate a variant: number of training windows, rows of the frame protocol."""
    folder = options.out / name.replace(" ", "_")
    trained = train_visual(options.train, folder / "run", build_config(options, changes))
    scores = folder / "scores"
    predict(options.test, scores, options.audio, folder / "run", config=PredictConfig())
    result = evaluate(scores, options.test, folder / "evaluation", EvaluateConfig(n_resamples=0))
    return trained.samples, result.frame.rows


def format_row(name: str, samples: int, rows: Rows, published: Rows) -> str:
    """Format a table row.

    It has the mAP of each system with its difference to the published training, and the gain of
    quality-aware fusion over the mean.
    """
    cells = [name, f"{samples:,}"]
    for system in SYSTEMS:
        value = _compute_map(rows, system)
        if name == next(iter(VARIANTS)):
            cells.append(f"{value:.1f}")
        else:
            interval = _format_interval(rows, rows.systems[system], published.systems[system])
            cells.append(f"{value:.1f} ({interval})")
    gain = _compute_map(rows, "fused") - _compute_map(rows, "mean")
    interval = _format_interval(rows, rows.systems["fused"], rows.systems["mean"])
    return f"| {' | '.join([*cells, f'{gain:+.1f} ({interval})'])} |"


def _compute_map(rows: Rows, system: str) -> float:
    return 100 * mean_average_precision(rows.labels, rows.systems[system])


def _format_interval(rows: Rows, one: Floats, other: Floats) -> str:
    """95 % interval of the mAP difference of `one` and `other`, in points."""
    boot = bootstrap_by_clip(rows.labels, {"b": other, "a": one}, rows.clip, n_resamples=1000)
    low, high = (100 * bound for bound in boot.differences["a-b"])
    return f"{low:+.1f} to {high:+.1f}"


def main() -> None:
    """Run all variants."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    for name, what in (("out", "folder"), ("train", "store"), ("test", "store")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--backbone", type=Path, help="MobileNetV2's weights; default: small's")
    parser.add_argument("--audio", default="small", help="checkpoint, or small")
    parser.add_argument("--step", type=int, default=60, help="frames between training windows")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    options.backbone = options.backbone or extract_backbone(options.out / "backbone.safetensors")
    head = ("training", "windows", "visual", "no quality in fusion (mean)", "fused", "gain")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    published = None
    for name, changes in VARIANTS.items():
        samples, rows = evaluate_variant(options, name, changes)
        published = published or rows
        lines.append(format_row(name, samples, rows, published))
        write_text(options.out / "ablations.md", "\n".join(lines) + "\n")
        print(lines[-1])


if __name__ == "__main__":
    main()
