"""The subcommands: their options, and the one public function that each calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quavf.cli import models, preparing
from quavf.cli.options import engine_of, engine_options, fields_of
from quavf.sources.registry import CHALLENGE, EGO4D, SOURCES, SourceSpec, source_names

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

USER_ERROR = 2  # exit code of every mistake that the user can mend
PROBLEMS_FOUND = 1  # exit code of `submit --check` when there are some


@dataclass(frozen=True)
class Command:
    """One subcommand: what it is for, its options, and what it does with them."""

    summary: str
    usage: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Any], int | None]


def _quality_options(parser: ArgumentParser) -> None:
    from quavf.inference.config import InferenceConfig

    parser.add_argument("store", metavar="STORE", help="a store that `quavf prepare` made")
    parser.add_argument(
        "--scorer",
        metavar="NAME",
        help="light: no download; fan: as published, needs quavf[fan]; with "
        "--import, the name to file the scores under (imported); default: light",
    )
    parser.add_argument(
        "--import",
        dest="import_",
        metavar="FILE",
        help="take scores from a published qualityScore.json instead",
    )
    parser.add_argument("--weights", metavar="FILE", help="the scorer's weights; default: download")
    parser.add_class_arguments(InferenceConfig, None, skip={"audio_batch_size"})
    parser.set_defaults(device="cpu", batch_size=8)
    engine_options(parser)


def _quality(args: Namespace, console: Any) -> None:
    from pathlib import Path

    from quavf.inference.config import InferenceConfig
    from quavf.report.summaries import print_summary
    from quavf.workflows.quality import import_quality, score_quality

    if args.import_:
        summary = import_quality(args.store, args.import_, args.scorer or "imported")
    else:
        weights = Path(args.weights) if args.weights else None
        scorer = args.scorer or "light"
        summary = score_quality(
            args.store,
            scorer,
            weights,
            fields_of(InferenceConfig, args),
            engine_of(args),
        )
    figures = {
        "clips": summary.clips,
        "crops": summary.crops,
        "quality by quantile": {k: f"{v:.2f}" for k, v in summary.quantiles.items()},
    }
    notes = dict(summary.notes)
    if summary.without_score:
        notes["crops without a score (they count 0)"] = summary.without_score
    print_summary(console, f"Quality by {summary.scorer!r}", figures, notes)


def _predict_options(parser: ArgumentParser) -> None:
    from quavf.inference.config import PredictConfig

    parser.add_argument("store", metavar="STORE", help="a store that `quavf prepare` made")
    parser.add_argument(
        "--audio",
        metavar="CKPT",
        help="checkpoint of the audio branch, its run, or an exported model",
    )
    parser.add_argument(
        "--visual",
        metavar="CKPT",
        help="the same of the visual branch; either may be left out",
    )
    parser.add_argument("--out", required=True, metavar="SCORES", help="folder to write")
    parser.add_class_arguments(PredictConfig, None)
    engine_options(parser)


def _predict(args: Namespace, console: Any) -> None:
    from quavf.inference.config import PredictConfig
    from quavf.report.summaries import print_summary
    from quavf.workflows.predict import predict

    config = fields_of(PredictConfig, args)
    summary = predict(args.store, args.out, args.audio, args.visual, config, engine_of(args))
    figures = {"clips": summary.clips, "faces": summary.rows, **_branches(summary.branches)}
    notes = {
        "scores that were not a number and took their neighbour's": summary.repaired,
        "crops without a quality: counted as 0": summary.crops_without_quality,
    }
    print_summary(
        console, f"Scores {summary.scores}", figures, {k: v for k, v in notes.items() if v}
    )


def _fuse_options(parser: ArgumentParser) -> None:
    parser.add_argument("scores_a", metavar="SCORES_A", help="scores of one branch")
    parser.add_argument("scores_v", metavar="SCORES_V", help="scores of the other")
    parser.add_argument("--out", required=True, metavar="SCORES", help="folder to write")


def _fuse(args: Namespace, console: Any) -> None:
    from quavf.report.summaries import print_summary
    from quavf.workflows.fuse import fuse

    counts = fuse(args.scores_a, args.scores_v, args.out)
    print_summary(console, f"Scores {args.out}", _branches(counts))


def _branches(counts: Any) -> dict[str, int]:
    both = "both" if len(counts.only) == 2 else "several"
    named = {
        f"fused from {both} branches": counts.several,
        **{f"{name} only": count for name, count in counts.only.items()},
        "neither": counts.neither,
        f"{both}, but without a quality (plain mean)": counts.no_quality,
    }
    return {name: count for name, count in named.items() if count}


def _evaluate_options(parser: ArgumentParser) -> None:
    from quavf.evaluation.config import EvaluateConfig
    from quavf.results.config import MomentsConfig

    parser.add_argument("scores", metavar="SCORES", help="a folder that `quavf predict` made")
    parser.add_argument("--store", required=True, metavar="STORE", help="the store with the labels")
    parser.add_argument(
        "--out",
        required=True,
        metavar="EVAL",
        help="folder for metrics.json, metrics.md and the pictures",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write also the page that `run` makes, for every clip, with the labels beside",
    )
    parser.add_argument(
        "--clips",
        metavar="DIR",
        help="folder of <clip>.mp4, to put each video beside its page; with --report",
    )
    parser.add_class_arguments(EvaluateConfig, None)
    parser.add_class_arguments(MomentsConfig, "moments")


def _evaluate(args: Namespace, console: Any) -> None:
    from quavf.core.errors import ConfigError
    from quavf.evaluation.config import EvaluateConfig
    from quavf.report.evaluation import print_evaluation
    from quavf.workflows.evaluate import evaluate
    from quavf.workflows.report_clips import report_clips

    if args.clips and not args.report:
        raise ConfigError("evaluate: --clips is for the pages of --report; give both")
    config = fields_of(EvaluateConfig, args)
    print_evaluation(evaluate(args.scores, args.store, args.out, config), console)
    console.print(f"\nFigures and pictures: {args.out}", markup=False)
    if args.report:
        reports = report_clips(args.scores, args.store, args.out, args.clips, args.moments)
        console.print(f"Report of {reports.clips:,} clips: {reports.index}", markup=False)


def _submit_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "scores", nargs="?", metavar="SCORES", help="scores of the challenge's faces"
    )
    parser.add_argument("--out", metavar="FILE", help="submission file to write")
    parser.add_argument("--check", metavar="FILE", help="submission file to check instead")
    parser.add_argument("--store", metavar="STORE", help="the challenge's store, to check against")


def _submit(args: Namespace, console: Any) -> int:
    from quavf.core.errors import ConfigError
    from quavf.workflows.submit import check_submission, write_submission

    if bool(args.check) == bool(args.scores) or not (args.store if args.check else args.out):
        raise ConfigError(
            "submit: use `SCORES --out FILE` to write, `--check FILE --store STORE` to check"
        )
    if args.scores:
        counts = write_submission(args.scores, args.out)
        console.print(
            f"{args.out}: {counts['rows']:,} rows of {counts['videos']:,} segments", markup=False
        )
        return 0
    problems = check_submission(args.check, args.store)
    for problem in problems:
        console.print(f"{args.check}: {problem}", markup=False)
    if not problems:
        console.print(f"{args.check}: fit to be submitted", markup=False)
    return PROBLEMS_FOUND if problems else 0


def _run_options(parser: ArgumentParser) -> None:
    from quavf.workflows.config import RunConfig

    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, of any frame rate")
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder to write; several videos: a folder each inside",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="X",
        help="scores a second, 0: every picture; short for --video.rate",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="score from which a moment can begin; short for --moments.threshold",
    )
    parser.add_class_arguments(RunConfig, None)
    engine_options(parser)


def _run(args: Namespace, console: Any) -> int:
    from dataclasses import replace

    from quavf.report.words import summarise
    from quavf.workflows.config import RunConfig
    from quavf.workflows.run import run_videos

    config = fields_of(RunConfig, args)
    if args.rate is not None:
        config = replace(config, video=replace(config.video, rate=args.rate))
    if args.threshold is not None:
        config = replace(config, moments=replace(config.moments, threshold=args.threshold))
    outcomes = run_videos(args.videos, args.out, config, engine_of(args))
    for outcome in outcomes:
        if outcome.analysis is None:
            console.print(f"{outcome.video}: failed: {outcome.error}", markup=False)
        else:
            text = summarise(outcome.analysis.result).text
            console.print(f"{outcome.video}: {text}", markup=False)
            for note in outcome.analysis.notes:
                console.print(f"  {note}", markup=False)
            console.print(f"  {outcome.folder}", markup=False)
    return USER_ERROR if any(outcome.analysis is None for outcome in outcomes) else 0


def _demo_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated clips")


def _demo(args: Namespace, console: Any) -> None:
    from quavf.workflows.demo import demo

    demo(args.out, args.seed, console)


def source_command(spec: SourceSpec) -> Command:
    """`quavf prepare NAME` of a source."""
    usage, options = preparing.source_usage(spec), preparing.source_options(spec)
    return Command(spec.summary, usage, options, preparing.source(spec))


def find_command(name: str) -> Command | None:
    """The command of that name, also of a source that a plug-in brings; None if there is none.

    Raises ConfigError when the plug-in cannot be loaded.
    """
    group, _, source = name.partition(" ")
    if name not in COMMANDS and group == "prepare" and source in source_names():
        return source_command(SOURCES.get(source))
    return COMMANDS.get(name)


COMMANDS = {
    "demo": Command(
        "Simulate a few conversations and run everything below on them.",
        "[options]",
        _demo_options,
        _demo,
    ),
    "simulate": Command(
        "Simulate conversations with exact ground truth; needs quavf[simulate].",
        "--out DIR [options]",
        preparing.simulate_options,
        preparing.simulate,
    ),
    "run": Command(
        "Tell from a raw video who talked to the camera wearer, and when.",
        "VIDEO [VIDEO ...] --out DIR [--audio CKPT] [--visual CKPT] [options]",
        _run_options,
        _run,
    ),
    "prepare ego4d": source_command(EGO4D),
    "prepare challenge": source_command(CHALLENGE),
    "prepare simulated": Command(
        "Simulate conversations straight into a store; needs quavf[simulate].",
        "--store STORE [options]",
        preparing.simulated_options,
        preparing.simulated,
    ),
    "quality": Command(
        "Score how well each face of a store can be seen.",
        "STORE [options]",
        _quality_options,
        _quality,
    ),
    "train audio": Command(
        "Train the audio branch.",
        "--store STORE --out RUN [options]",
        models.train_options("audio"),
        models.train("audio"),
    ),
    "train visual": Command(
        "Train the visual branch.",
        "--store STORE --out RUN [options]",
        models.train_options("visual"),
        models.train("visual"),
    ),
    "predict": Command(
        "Score every face of a store with one branch or both.",
        "STORE [--audio CKPT] [--visual CKPT] --out SCORES [options]",
        _predict_options,
        _predict,
    ),
    "export": Command(
        "Write a branch as a file for ONNX Runtime or OpenVINO.",
        "CKPT --out FILE [--format onnx|openvino]",
        models.export_options,
        models.export,
    ),
    "fuse": Command(
        "Fuse branches that were predicted apart.",
        "SCORES_A SCORES_V --out SCORES",
        _fuse_options,
        _fuse,
    ),
    "evaluate": Command(
        "Judge scores against a store's labels.",
        "SCORES --store STORE --out EVAL [options]",
        _evaluate_options,
        _evaluate,
    ),
    "submit": Command(
        "Write an EvalAI submission, or check one.",
        "SCORES --out FILE  |  --check FILE --store STORE",
        _submit_options,
        _submit,
    ),
}
