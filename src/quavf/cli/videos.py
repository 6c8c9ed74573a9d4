"""The commands for raw videos: `run`, `report`, `label` and `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quavf.cli.command import PROBLEMS_FOUND, USER_ERROR, Command
from quavf.cli.options import (
    add_engine_options,
    add_moments_options,
    add_weights_options,
    build_config,
    build_engine,
    describe_option,
    list_names,
    read_branches,
    read_moments,
)

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.workflows.config import RunConfig


def _add_run_options(parser: ArgumentParser) -> None:
    from quavf.faces.detect import detector_names
    from quavf.faces.quality.scorer import scorer_names
    from quavf.workflows.config import RunConfig

    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="Video files of any frame rate")
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="Folder to write; several videos get a folder each inside",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="X",
        help="Scores per second, 0: every picture; short for --video.rate",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="Score at which a moment can start; short for --moments.threshold",
    )
    parser.add_argument(
        "--turn",
        type=int,
        metavar="DEGREES",
        help="Turn the pictures clockwise by 90, 180 or 270; short for --video.media.turn",
    )
    parser.add_argument(
        "--audio-track",
        type=int,
        metavar="N",
        help="Sound track to hear, from 1; short for --video.media.audio_track",
    )
    add_weights_options(parser)
    parser.add_argument(
        "--causal",
        action="store_true",
        help="Judge as `quavf live` does, from the past and a look-ahead, by the cues alone",
    )
    parser.add_argument(
        "--look-ahead",
        type=float,
        default=0.3,
        metavar="S",
        help="With --causal, seconds of the future that a judgement waits for",
    )
    own = {"weights", "branches", "audio", "visual", "moments", "causal", "look_ahead"}
    parser.add_class_arguments(RunConfig, None, skip=own)
    add_moments_options(parser, "as the weights say")
    detectors, scorers = list_names(detector_names()), list_names(scorer_names())
    describe_option(parser, "--video.search.detector", f"Face detector: {detectors}")
    describe_option(parser, "--quality", f"Scorer of face quality: {scorers}")
    add_engine_options(parser)


def _read_config(args: Namespace) -> RunConfig:
    """The options of `run`, with the settings of moments that the weights and the options say."""
    from dataclasses import replace

    from quavf.workflows.config import RunConfig

    config = replace(build_config(RunConfig, args), branches=read_branches(args), moments=None)
    if args.rate is not None:
        config = replace(config, video=replace(config.video, rate=args.rate))
    if args.threshold is not None:
        args.moments.threshold = args.threshold
    given = {"turn": args.turn, "audio_track": args.audio_track}
    if media := {name: value for name, value in given.items() if value is not None}:
        options = replace(config.video.media, **media)
        config = replace(config, video=replace(config.video, media=options))
    return replace(config, moments=read_moments(args, config.choose_bundle().moments))


def _run(args: Namespace, console: Any) -> int:
    from quavf.core.names import printable
    from quavf.report.words import summarise
    from quavf.workflows.run import run_videos

    def say(line: str) -> None:
        console.print(printable(line), markup=False)

    outcomes = run_videos(args.videos, args.out, _read_config(args), build_engine(args))
    for video, outcome in zip(args.videos, outcomes, strict=True):
        if outcome.analysis is None:
            say(f"{video}: failed: {outcome.error}")
        else:
            say(f"{video}: {summarise(outcome.analysis.result).text}")
            for note in outcome.analysis.notes:
                say(f"  {note}")
            say(f"  {outcome.folder}")
    n_failed = sum(outcome.analysis is None for outcome in outcomes)
    if n_failed and len(outcomes) > 1:
        console.print(f"{n_failed} of {len(outcomes)} videos failed", markup=False)
        return PROBLEMS_FOUND
    return USER_ERROR if n_failed else 0


def _add_label_options(parser: ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="Folder that `quavf run` wrote, or of several")
    parser.add_argument(
        "--port", type=int, metavar="N", help="Port of this machine; default: 8632, or a free one"
    )


def _label(args: Namespace, console: Any) -> None:
    from quavf.workflows.label import serve_labels

    def say(address: str) -> None:
        console.print(f"Open {address}", markup=False)
        console.print("Labels are saved as you go. Ctrl-C ends.", markup=False)

    serve_labels(args.out, say, args.port)


def _add_report_options(parser: ArgumentParser) -> None:
    from quavf.report.formats.names import FORMAT_NAMES
    from quavf.results.kinds import KINDS

    parser.add_argument(
        "folders",
        nargs="+",
        metavar="OUT",
        help="Folders that `quavf run` wrote; or scores of `quavf predict`, or a store with labels",
    )
    parser.add_argument(
        "--format",
        nargs="+",
        metavar="NAME",
        help=f"Formats, one or more: {', '.join(FORMAT_NAMES)}; default: the page of a run, "
        "written again with the names that people have in its labels",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="Folder to write, files named by video or clip; default: report.eaf and so on in OUT",
    )
    parser.add_argument(
        "--kind",
        nargs="+",
        metavar="KIND",
        help=f"What to write: {', '.join(KINDS)}; default: talking for vtt, speaking for rttm "
        "(talking if nobody judged it), else all",
    )
    parser.add_argument(
        "--store", metavar="STORE", help="Store of the scores; default: the one they were made from"
    )
    parser.add_argument(
        "--clips", metavar="DIR", help="Folder with the <clip>.mp4 files of a store, to link"
    )


def _report(args: Namespace, console: Any) -> None:
    from quavf.core.errors import ConfigError
    from quavf.core.names import printable
    from quavf.workflows.report import rewrite_pages, write_formats

    if not args.format:
        if args.out or args.kind or args.store or args.clips:
            raise ConfigError("report: --out, --kind, --store and --clips need --format")
        for page, summary in rewrite_pages(args.folders).items():
            console.print(f"{printable(page)}: {printable(summary.text)}", markup=False)
        return
    written = write_formats(
        args.folders,
        args.format,
        args.out,
        kinds=args.kind or (),
        store=args.store,
        clips=args.clips,
    )
    for path in written:
        console.print(printable(path), markup=False)


def _add_demo_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", default="demo", metavar="DIR", help="Folder to write")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the simulated clips")


def _demo(args: Namespace, console: Any) -> None:
    from quavf.workflows.demo import demo

    demo(args.out, args.seed, console)


RUN = Command(
    "Find who talks to the camera wearer in a raw video, and when.",
    "VIDEO [VIDEO ...] --out DIR [--weights NAME|FOLDER|HUB] [options]",
    _add_run_options,
    _run,
)
LABEL = Command(
    "Label in a browser who talks to the camera wearer; needs quavf[live].",
    "OUT [options]",
    _add_label_options,
    _label,
)
REPORT = Command(
    "Write results for ELAN, Praat, players or spreadsheets, or their page with people's names.",
    "OUT [OUT ...] [--format NAME [NAME ...]] [--out DIR] [options]",
    _add_report_options,
    _report,
)
DEMO = Command(
    "Simulate a few conversations and run every step on them.",
    "[options]",
    _add_demo_options,
    _demo,
)
