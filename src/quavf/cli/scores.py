"""The commands on scores: `predict`, `import`, `fuse`, `evaluate` and `submit`."""

from __future__ import annotations

import logging
from argparse import SUPPRESS
from typing import TYPE_CHECKING, Any

from quavf.cli.command import PROBLEMS_FOUND, Command
from quavf.cli.options import (
    add_engine_options,
    add_moments_options,
    add_weights_options,
    build_config,
    build_engine,
    describe_branch_options,
    read_branches,
    read_moments,
)

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

log = logging.getLogger(__name__)


def _add_predict_options(parser: ArgumentParser) -> None:
    from quavf.inference.config import PredictConfig

    parser.add_argument("store", metavar="STORE", help="Store made by `quavf prepare`")
    add_weights_options(parser)
    parser.add_argument("--out", required=True, metavar="SCORES", help="Folder to write")
    parser.add_class_arguments(PredictConfig, None)
    add_engine_options(parser)


def _predict(args: Namespace, console: Any) -> None:
    from quavf.inference.config import PredictConfig
    from quavf.report.summaries import print_summary
    from quavf.workflows.predict import predict

    config, engine = build_config(PredictConfig, args), build_engine(args)
    branches: dict[str, Any] = read_branches(args)
    summary = predict(
        args.store, args.out, config=config, engine=engine, weights=args.weights, **branches
    )
    figures = {"clips": summary.clips, "faces": summary.rows, **_count_rows(summary.branches)}
    notes = {
        "scores that were not finite, replaced by their neighbour's": summary.repaired,
        "crops without a quality (they count as 0)": summary.crops_without_quality,
    }
    print_summary(
        console, f"Scores {summary.scores}", figures, {k: v for k, v in notes.items() if v}
    )


def _add_import_options(parser: ArgumentParser) -> None:
    from quavf.core.branches import branch_specs

    parser.add_argument("store", metavar="STORE", help="Store of the clips: the challenge's")
    for spec in branch_specs():
        parser.add_argument(
            f"--{spec.name}",
            metavar="FILE",
            help=f"Predictions of the {spec.name} branch ({spec.summary}) in the published format",
        )
    parser.add_argument("--out", required=True, metavar="SCORES", help="Folder to write")
    parser.add_argument(
        "--quality",
        default="",
        metavar="NAME",
        help="Scorer whose quality weighs the branches; default: fan, or the only one in the store",
    )


def _import(args: Namespace, console: Any) -> None:
    from quavf.core.branches import branch_names
    from quavf.report.summaries import print_summary
    from quavf.workflows.import_scores import import_branches

    files = {name: path for name in branch_names() if (path := getattr(args, name))}
    summary = import_branches(files, args.store, args.out, args.quality)
    figures = {"clips": summary.clips, "faces": summary.rows, **_count_rows(summary.branches)}
    notes = {
        **{f"rows of {files[n]} without a face": count for n, count in summary.unknown.items()},
        "faces without a score": summary.without_score,
    }
    print_summary(
        console, f"Scores {summary.scores}", figures, {k: v for k, v in notes.items() if v}
    )


def _add_fuse_options(parser: ArgumentParser) -> None:
    parser.add_argument("scores_a", metavar="SCORES_A", help="Scores of one branch")
    parser.add_argument("scores_v", metavar="SCORES_V", help="Scores of the other branch")
    parser.add_argument("--out", required=True, metavar="SCORES", help="Folder to write")


def _fuse(args: Namespace, console: Any) -> None:
    from quavf.report.summaries import print_summary
    from quavf.workflows.fuse import fuse

    counts = fuse(args.scores_a, args.scores_v, args.out)
    print_summary(console, f"Scores {args.out}", _count_rows(counts))


def _add_bundle_options(parser: ArgumentParser) -> None:
    from quavf.core.branches import branch_names

    parser.add_argument(
        "scores",
        nargs="+",
        metavar="SCORES",
        help="Folders made by `quavf predict --all-faces` on validation clips",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="Folder to write")
    parser.add_argument(
        "--turns",
        nargs="+",
        default=[],
        metavar="SCORES",
        help="Folders of the same clips made without --all-faces; fits a second fusion, which "
        "judges labelled segments as wholes",
    )
    parser.add_argument(
        "--store",
        nargs="+",
        metavar="STORE",
        help="Stores with the labels, one for each SCORES; default: those that were predicted",
    )
    parser.add_argument("--name", default="", help="What reports call it; default: the folder's")
    parser.add_argument(
        "--start",
        default="",
        metavar="WEIGHTS",
        help="Weights, such as talk, whose fusion and moments to start from: for few labels",
    )
    parser.add_argument(
        "--prior",
        type=float,
        metavar="X",
        help="Share of the time that people talk to the wearer, for which the probabilities hold; "
        "default: as in the scores",
    )
    parser.add_argument("--card", metavar="FILE", help="Model card to put into the folder")
    parser.add_argument(
        "--fallback",
        nargs="*",
        metavar="BRANCH",
        help="Branches that, in raw video, judge only the faces and times that the cues cannot; "
        "default: those of --start",
    )
    for name in branch_names():
        parser.add_argument(
            f"--{name}",
            metavar="CKPT",
            help=f"Place of the {name} branch's checkpoint; default: where the scores say",
        )
    add_moments_options(parser, "the usual one")


def _bundle(args: Namespace, console: Any) -> None:
    from quavf.models.bundled import load_bundle
    from quavf.report.summaries import print_summary
    from quavf.results.config import MomentsConfig
    from quavf.workflows.bundle import make_bundle

    usual = load_bundle(args.start).moments if args.start else MomentsConfig()
    branches: dict[str, Any] = read_branches(args)
    summary = make_bundle(
        args.scores,
        args.out,
        args.store,
        name=args.name,
        prior=args.prior,
        moments=read_moments(args, usual),
        card=args.card,
        start=args.start,
        turns=args.turns,
        fallback=args.fallback,
        **branches,
    )
    figures: dict[str, Any] = {
        "branches": ", ".join(summary.branches),
        "rows": summary.rows,
        "of these talking to me": summary.positive,
        "clips": summary.clips,
    }
    checks = {
        "published formula": summary.published,
        "learned, on clips left out in turn": summary.learned,
        "learned for whole turns, likewise": summary.turns,
    }
    if summary.learned is None:
        console.print("Too few clips to leave some out: what the fusion is worth was not measured")
    for title, check in checks.items():
        if check is None:
            continue
        figures[title] = (
            f"mAP {100 * check.map:.1f}, log loss {check.log_loss:.3f}, calibration error "
            f"{check.calibration_error:.3f}"
        )
    print_summary(console, f"Bundle {summary.folder}", figures)


def _add_push_options(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="Folder of a bundle, or name of weights")
    parser.add_argument("repository", metavar="OWNER/NAME", help="Repository, made if missing")
    parser.add_argument(
        "--private", action="store_true", help="Make the repository private, if it is made"
    )
    parser.add_argument(
        "--evaluation", metavar="EVAL", help="Folder of `quavf evaluate`; its figures are shown"
    )
    parser.add_argument("--licence", default="", metavar="ID", help="Licence, such as mit")
    parser.add_argument("--data", default="", metavar="TEXT", help="What it was trained on")
    parser.add_argument("--message", default="", metavar="TEXT", help="Message of the commit")


def _push(args: Namespace, console: Any) -> None:
    from quavf.report.summaries import print_summary
    from quavf.workflows.push import push_bundle

    done = push_bundle(
        args.folder,
        args.repository,
        private=args.private,
        evaluation=args.evaluation,
        licence=args.licence,
        data=args.data,
        message=args.message,
    )
    figures = {
        "files": ", ".join(done.files),
        "size": f"{done.bytes / 1e6:.1f} MB",
        "commit": done.address,
        "load it": f"--weights hf://{done.repository}",
    }
    print_summary(console, f"Bundle {args.folder}", figures)


def _count_rows(counts: Any) -> dict[str, int]:
    """How many rows have scores of which branches; zeros are left out."""
    both = "both" if len(counts.only) == 2 else "several"
    named = {
        f"fused from {both} branches": counts.several,
        **{f"{name} only": count for name, count in counts.only.items()},
        "neither": counts.neither,
        f"{both}, but without a quality (plain mean)": counts.no_quality,
    }
    return {name: count for name, count in named.items() if count}


def _add_evaluate_options(parser: ArgumentParser) -> None:
    from quavf.evaluation.config import EvaluateConfig

    parser.add_argument("scores", metavar="SCORES", help="Folder made by `quavf predict`")
    parser.add_argument("--store", required=True, metavar="STORE", help="Store with the labels")
    parser.add_argument(
        "--out",
        required=True,
        metavar="EVAL",
        help="Folder for metrics.json, metrics.md and the figures",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="Also write a report of every clip, as `quavf run` does, with the labels",
    )
    parser.add_argument(
        "--clips",
        metavar="DIR",
        help="Folder with <clip>.mp4 files, which --report copies beside the reports",
    )
    parser.add_class_arguments(EvaluateConfig, None, skip={"fixed_weight"})
    parser.add_argument("--fixed_weight", type=float, help=SUPPRESS)  # former name
    add_moments_options(parser, "as for these scores")


def _evaluate(args: Namespace, console: Any) -> None:
    from dataclasses import replace

    from quavf.core.errors import ConfigError
    from quavf.evaluation.config import EvaluateConfig
    from quavf.report.evaluation import print_evaluation
    from quavf.workflows.evaluate import evaluate
    from quavf.workflows.report_clips import read_moments_config, report_clips

    if args.clips and not args.report:
        raise ConfigError("evaluate: --clips is for the pages of --report; give both")
    config = build_config(EvaluateConfig, args)
    if args.fixed_weight is not None:
        log.warning("evaluate: --fixed-weight is now --face-weight")
        config = replace(config, face_weight=args.fixed_weight)
    print_evaluation(evaluate(args.scores, args.store, args.out, config), console)
    console.print(f"\nMetrics and figures: {args.out}", markup=False)
    if args.report:
        moments = read_moments(args, read_moments_config(args.scores))
        reports = report_clips(args.scores, args.store, args.out, args.clips, moments)
        console.print(f"Report of {reports.clips:,} clips: {reports.index}", markup=False)


def _add_submit_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "scores", nargs="?", metavar="SCORES", help="Scores of the clips to hand in"
    )
    parser.add_argument("--out", metavar="FILE", help="Submission file to write")
    parser.add_argument("--check", metavar="FILE", help="Submission file to check instead")
    parser.add_argument(
        "--task",
        default="ttm",
        metavar="NAME",
        help="What the file is for: ttm, Ego4D's talking to me; lam, its looking at me; ava, "
        "AVA-ActiveSpeaker",
    )
    parser.add_argument(
        "--store",
        metavar="STORE",
        help="Store of the clips, to check the file against; to write lam or ava, default: the "
        "one that was predicted",
    )


def _submit(args: Namespace, console: Any) -> int:
    from quavf.core.errors import ConfigError
    from quavf.workflows.submit import check_submission, write_submission

    if bool(args.check) == bool(args.scores) or not (args.store if args.check else args.out):
        raise ConfigError(
            "submit: use `SCORES --out FILE` to write, `--check FILE --store STORE` to check"
        )
    if args.scores:
        counts = write_submission(args.scores, args.out, args.task, args.store)
        rows, videos = counts["rows"], counts["videos"]
        kind = "segments" if args.task == "ttm" else "videos"
        console.print(f"{args.out}: {rows:,} rows of {videos:,} {kind}", markup=False)
        return 0
    problems = check_submission(args.check, args.store, args.task)
    for problem in problems:
        console.print(f"{args.check}: {problem}", markup=False)
    if not problems:
        console.print(f"{args.check}: ready to submit", markup=False)
    return PROBLEMS_FOUND if problems else 0


PREDICT = Command(
    "Score every face of a store with one branch or more.",
    "STORE [--weights NAME|FOLDER|HUB] --out SCORES [options]",
    _add_predict_options,
    _predict,
)
IMPORT = Command(
    "Import predictions in the published format, aPred.json and vPred.json.",
    lambda: f"STORE {describe_branch_options('FILE')} --out SCORES [options]",
    _add_import_options,
    _import,
)
FUSE = Command(
    "Fuse the scores of branches that were predicted separately.",
    "SCORES_A SCORES_V --out SCORES",
    _add_fuse_options,
    _fuse,
)
BUNDLE = Command(
    "Fit a fusion to scores, and put it with its branches into one folder.",
    "SCORES [SCORES ...] --out FOLDER [options]",
    _add_bundle_options,
    _bundle,
)
PUSH = Command(
    "Upload a bundle to the Hugging Face Hub, with a model card; needs quavf[hub].",
    "FOLDER OWNER/NAME [options]",
    _add_push_options,
    _push,
)
EVALUATE = Command(
    "Evaluate scores against a store's labels.",
    "SCORES --store STORE --out EVAL [options]",
    _add_evaluate_options,
    _evaluate,
)
SUBMIT = Command(
    "Write the file that a challenge or benchmark takes, or check one.",
    "SCORES --out FILE  |  --check FILE --store STORE",
    _add_submit_options,
    _submit,
)
