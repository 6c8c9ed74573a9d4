"""The commands `train NAME` and `export`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from quavf.cli.command import Command
from quavf.cli.options import build_config

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def make_train_command(branch: str) -> Command:
    """Make the command that trains a branch. The branch itself is loaded when the command runs."""
    return Command(
        f"Train the {branch} branch.",
        "--store STORE --out RUN [options]",
        partial(_add_train_options, branch),
        partial(_train, branch),
    )


def _config_class(branch: str) -> Any:
    """The option dataclass of a branch. Raises ConfigError if the branch cannot be trained."""
    from quavf.core.branches import BRANCHES
    from quavf.core.errors import ConfigError

    spec = BRANCHES.get(branch)
    if spec.train_config is None:
        raise ConfigError(f"train {branch}: this branch cannot be trained; it has no train_config")
    return spec.load("train_config")


def _add_train_options(branch: str, parser: ArgumentParser) -> None:
    from quavf.training.recipes import recipe_names

    parser.add_argument(
        "--store",
        required=True,
        metavar="STORE",
        help="Store with a train split, and a val split to choose the best weights by",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="RUN",
        help="Folder of the run; an interrupted run resumes",
    )
    parser.add_argument(
        "--recipe",
        choices=recipe_names(branch),
        default=None,
        help="Start from the options of this recipe",
    )
    parser.add_argument("--config", action="config", help="Start from the options of a YAML file")
    parser.add_class_arguments(_config_class(branch), None)


def _train(branch: str, args: Namespace, console: Any) -> None:
    from quavf.core.branches import BRANCHES
    from quavf.report.summaries import print_summary
    from quavf.training.train import is_leader
    from quavf.workflows.train import train

    config = build_config(_config_class(branch), args)
    summary = train(branch, args.store, args.out, config)
    if not is_leader():
        return
    unit = BRANCHES.get(branch).load("training").unit
    figures = {
        "samples": summary.samples,
        unit: {"talking to me": summary.positive, "not": summary.negative},
        "epochs": summary.epochs,
        "best validation mAP": summary.best_map,
        "at epoch": summary.best_epoch,
        "stopped early": summary.stopped_early,
        "weights": f"{summary.run}/best.safetensors",
    }
    print_summary(console, f"Training of the {branch} branch", figures)


def _add_export_options(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="Checkpoint of a branch, or its run")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="File to write, .onnx or .xml; a visual branch gets a second file beside it",
    )
    parser.add_argument(
        "--format",
        choices=["onnx", "openvino"],
        default=None,
        help="Format of the file; default: as its name says",
    )
    parser.add_argument(
        "--encoder-heads",
        type=int,
        metavar="N",
        help="Heads of a published checkpoint's Whisper encoder; default: width / 64",
    )
    parser.add_argument(
        "--n-heads",
        type=int,
        metavar="N",
        help="Heads of a published checkpoint's temporal attention; default: 8",
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="Image network of a published checkpoint, a timm name; default: recognised",
    )


def _export(args: Namespace, console: Any) -> None:
    from quavf.inference.export import export
    from quavf.report.summaries import print_summary

    done = export(
        args.checkpoint,
        args.out,
        args.format,
        encoder_heads=args.encoder_heads,
        n_heads=args.n_heads,
        backbone=args.backbone,
    )
    figures: dict[str, Any] = {
        file.name: f"{file.stat().st_size / 1e6:.1f} MB" for file in done.files
    }
    figures["largest difference of a logit from torch's"] = f"{done.difference:.1e}"
    print_summary(console, f"Export of the {done.branch} branch", figures)


EXPORT = Command(
    "Write a branch as a file for ONNX Runtime or OpenVINO.",
    "CKPT --out FILE [--format onnx|openvino]",
    _add_export_options,
    _export,
)
