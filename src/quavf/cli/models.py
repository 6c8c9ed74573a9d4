"""The commands that make models: `train ...` and `export`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quavf.cli.options import fields_of

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def train_options(branch: str) -> Callable[[ArgumentParser], None]:
    def options(parser: ArgumentParser) -> None:
        from quavf.training.config import TrainAudioConfig, TrainVisualConfig
        from quavf.training.recipes import recipe_names

        parser.add_argument(
            "--store",
            required=True,
            metavar="STORE",
            help="a store with a train split, and a val split to choose by",
        )
        parser.add_argument(
            "--out",
            required=True,
            metavar="RUN",
            help="folder of the run; an interrupted one goes on",
        )
        parser.add_argument(
            "--recipe",
            choices=recipe_names(branch),
            default=None,
            help="start from this recipe's settings",
        )
        parser.add_argument("--config", action="config", help="start from a YAML file's settings")
        config = TrainAudioConfig if branch == "audio" else TrainVisualConfig
        parser.add_class_arguments(config, None)

    return options


def train(branch: str) -> Callable[[Namespace, Any], None]:
    def run(args: Namespace, console: Any) -> None:
        from quavf.report.summaries import print_summary
        from quavf.training.config import TrainAudioConfig, TrainVisualConfig
        from quavf.training.train import leads, train_audio, train_visual

        if branch == "audio":
            summary = train_audio(args.store, args.out, fields_of(TrainAudioConfig, args))
        else:
            summary = train_visual(args.store, args.out, fields_of(TrainVisualConfig, args))
        if not leads():
            return
        unit = "frames" if branch == "audio" else "windows"
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

    return run


def export_options(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="checkpoint of a branch, or its run")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="file to write, .onnx or .xml; a visual branch gets a second one beside it",
    )
    parser.add_argument(
        "--format",
        choices=["onnx", "openvino"],
        default=None,
        help="what the file is; default: as its name says",
    )
    parser.add_argument(
        "--encoder-heads",
        type=int,
        metavar="N",
        help="heads of a published checkpoint's Whisper encoder; default: width / 64",
    )
    parser.add_argument(
        "--n-heads",
        type=int,
        metavar="N",
        help="heads of a published checkpoint's temporal attention; default: 8",
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="image network of a published checkpoint, a timm name; default: recognised",
    )


def export(args: Namespace, console: Any) -> None:
    from quavf.inference.export import export as write
    from quavf.report.summaries import print_summary

    done = write(
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
