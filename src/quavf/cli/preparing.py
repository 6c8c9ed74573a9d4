"""The commands that make clips and stores: `prepare ...` and `simulate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quavf.cli.options import engine_of, engine_options

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.simulate.config import SimulateConfig


def _store_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--store", required=True, metavar="STORE", help="folder to make or go on with"
    )


def ego4d_options(parser: ArgumentParser) -> None:
    from quavf.core.semantics import FIXED, SEMANTICS

    parser.add_argument(
        "--annotations",
        required=True,
        metavar="DIR",
        help="folder that holds av_train.json and av_val.json",
    )
    parser.add_argument(
        "--clips", required=True, metavar="DIR", help="folder that holds <clip_uid>.mp4"
    )
    _store_option(parser)
    engine_options(parser)
    parser.add_argument(
        "--semantics",
        default=FIXED.name,
        choices=SEMANTICS,
        help="tracks and quality regions mended, or exactly as published",
    )
    parser.add_argument(
        "--splits",
        metavar="DIR",
        help="folder of train.txt, val.txt (valid.txt), test.txt with a clip id a "
        "line; default: av_train.json is train, av_val.json is val",
    )


def ego4d(args: Namespace, console: Any) -> None:
    from quavf.workflows.prepare import prepare_ego4d

    summary = prepare_ego4d(
        args.annotations, args.clips, args.store, args.semantics, args.splits, engine_of(args)
    )
    _print_prepared(summary, console)


def challenge_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--root",
        required=True,
        metavar="DIR",
        help="folder of <segment>/face/<frame>.jpg and <segment>/audio/aud.wav, "
        "such as social_test/final_test_data",
    )
    _store_option(parser)
    engine_options(parser)


def challenge(args: Namespace, console: Any) -> None:
    from quavf.workflows.prepare import prepare_challenge

    _print_prepared(prepare_challenge(args.root, args.store, engine_of(args)), console)


def simulated_options(parser: ArgumentParser) -> None:
    _store_option(parser)
    parser.add_argument(
        "--every", type=int, default=15, metavar="N", help="frames between the faces drawn"
    )
    _world_options(parser)


def simulated(args: Namespace, console: Any) -> None:
    from quavf.workflows.prepare_simulated import prepare_simulated

    summary = prepare_simulated(args.store, _world(args), every=args.every, engine=engine_of(args))
    _print_prepared(summary, console)


def _print_prepared(summary: Any, console: Any) -> None:
    from quavf.report.summaries import print_summary

    figures = {
        "clips": summary.clips,
        "of these done before": summary.skipped,
        "by split": summary.clips_by_split,
        "labelled segments": f"{summary.segments:,} ({summary.positive_segments:,} talking to me)",
        "face crops": summary.crops,
        "sound": f"{summary.sound_hours:.2f} h",
    }
    notes = dict(summary.notes)
    if summary.failed:
        notes["clips left out"] = len(summary.failed)
    print_summary(console, f"Store {summary.store}", figures, notes)
    for clip, reason in list(summary.failed.items())[:5]:
        console.print(f"  left out: {clip}: {reason}", markup=False)


def simulate_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make or go on with")
    _world_options(parser)


def simulate(args: Namespace, console: Any) -> None:
    from pathlib import Path

    from quavf.workflows.simulate import simulate_clips

    report = simulate_clips(Path(args.out), _world(args), engine_of(args), progress=True)
    console.print(str(report), markup=False)


def _world_options(parser: ArgumentParser) -> None:
    from quavf.simulate.config import SimulateConfig

    parser.add_class_arguments(SimulateConfig, None, skip={"world"})
    engine_options(parser)


def _world(args: Namespace) -> SimulateConfig:
    from quavf.simulate.config import SimulateConfig

    names = ("seed", "clips", "seconds", "preset", "val_share", "test_share")
    return SimulateConfig(**{name: getattr(args, name) for name in names})
