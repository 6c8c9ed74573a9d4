"""The commands on clips and stores: `simulate`, `prepare NAME`, `quality`, `cues` and `check`."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from quavf.cli.command import PROBLEMS_FOUND, Command
from quavf.cli.options import add_engine_options, build_config, build_engine, list_names

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.simulate.config import SimulateConfig


def _add_store_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        required=True,
        metavar="STORE",
        help="Store to make; an interrupted command resumes",
    )


def make_prepare_command(source: str) -> Command:
    """Make the command that prepares a store from a source; plug-ins are loaded when it runs."""
    from quavf.sources.registry import BUILT_IN

    summaries = {spec.name: spec.summary for spec in BUILT_IN}
    return Command(
        summaries.get(source, f"Prepare a store from the source {source}."),
        partial(_describe_usage, source),
        partial(_add_source_options, source),
        partial(_prepare_source, source),
    )


def _config_class(source: str) -> type[Any]:
    from quavf.sources.registry import SOURCES

    return SOURCES.get(source).load_config()


def _describe_usage(source: str) -> str:
    """List the options of a source that have no default."""
    required = [
        f"--{field.name.replace('_', '-')} {_name_value(field)}"
        for field in fields(_config_class(source))
        if field.default is MISSING and field.default_factory is MISSING
    ]
    return " ".join([*required, "--store STORE [options]"])


def _add_source_options(source: str, parser: ArgumentParser) -> None:
    config = _config_class(source)
    parser.add_class_arguments(config, None)
    for field in fields(config):
        for action in parser._actions:
            if action.dest == field.name:
                action.metavar = _name_value(field)
    _add_store_option(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="Look for faces in a sample of the boxes, and report the share that contains one",
    )
    add_engine_options(parser)


def _name_value(field: Field[Any]) -> str:
    if "..." in str(field.type):
        return "[A, B, ...]"
    return "PATH" if "Path" in str(field.type) else "VALUE"


def _prepare_source(source: str, args: Namespace, console: Any) -> int:
    from quavf.workflows.prepare import prepare_source

    config = build_config(_config_class(source), args)
    summary = prepare_source(source, args.store, config, build_engine(args))
    _print_prepared(summary, console)
    if args.check:
        _print_box_check(args.store, console)
    return PROBLEMS_FOUND if summary.failed else 0


def _add_simulated_options(parser: ArgumentParser) -> None:
    _add_store_option(parser)
    parser.add_argument(
        "--every", type=int, default=15, metavar="N", help="Frames between the faces that are drawn"
    )
    _add_world_options(parser)


def _prepare_simulated(args: Namespace, console: Any) -> None:
    from quavf.workflows.prepare_simulated import prepare_simulated

    world, engine = _build_world(args), build_engine(args)
    _print_prepared(prepare_simulated(args.store, world, every=args.every, engine=engine), console)


def _print_box_check(store: str, console: Any) -> None:
    from pathlib import Path

    from quavf.report.summaries import print_summary
    from quavf.store import ClipStore
    from quavf.workflows.check_boxes import check_boxes

    found = check_boxes(ClipStore.open(Path(store)))
    figures = {"boxes looked at": found.n_looked, "boxes with a face": f"{100 * found.share:.0f} %"}
    notes = {"clips with few faces in their boxes": len(found.low)} if found.low else {}
    print_summary(console, "Boxes", figures, notes)
    for clip, share in list(found.low.items())[:5]:
        console.print(f"  {clip}: a face in {100 * share:.0f} % of the boxes", markup=False)


def _print_prepared(summary: Any, console: Any) -> None:
    from quavf.report.summaries import print_summary

    figures = {
        "clips": summary.clips,
        "already in the store": summary.skipped,
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


def _add_simulate_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="Folder of the clips; an interrupted command resumes",
    )
    _add_world_options(parser)


def _simulate(args: Namespace, console: Any) -> None:
    from pathlib import Path

    from quavf.workflows.simulate import simulate_clips

    report = simulate_clips(Path(args.out), _build_world(args), build_engine(args), progress=True)
    console.print(str(report), markup=False)


def _add_world_options(parser: ArgumentParser) -> None:
    from quavf.simulate.config import SimulateConfig

    parser.add_class_arguments(SimulateConfig, None, skip={"world"})
    add_engine_options(parser)


def _build_world(args: Namespace) -> SimulateConfig:
    from quavf.simulate.config import SimulateConfig

    return build_config(SimulateConfig, args)


def _add_quality_options(parser: ArgumentParser) -> None:
    from quavf.faces.quality.scorer import scorer_names
    from quavf.inference.config import InferenceConfig

    parser.add_argument("store", metavar="STORE", help="Store made by `quavf prepare`")
    parser.add_argument(
        "--scorer",
        metavar="NAME",
        help=f"Scorer: {list_names(scorer_names())}. light needs no download, fan is the published "
        "one and needs quavf[fan]; with --import, the name for the imported scores (imported); "
        "default: light",
    )
    parser.add_argument(
        "--import",
        dest="import_",
        metavar="FILE",
        help="Import scores from a published qualityScore.json instead",
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="Weights of the scorer; default: a download"
    )
    parser.add_class_arguments(InferenceConfig, None, skip={"audio_batch_size"})
    parser.set_defaults(device="cpu", batch_size=8)
    add_engine_options(parser)


def _score_quality(args: Namespace, console: Any) -> None:
    from pathlib import Path

    from quavf.inference.config import InferenceConfig
    from quavf.report.summaries import print_summary
    from quavf.workflows.quality import import_quality, score_quality

    if args.import_:
        summary = import_quality(args.store, args.import_, args.scorer or "imported")
    else:
        weights = Path(args.weights) if args.weights else None
        config, engine = build_config(InferenceConfig, args), build_engine(args)
        summary = score_quality(args.store, args.scorer or "light", weights, config, engine)
    figures = {
        "clips": summary.clips,
        "crops": summary.crops,
        "quality by quantile": {k: f"{v:.2f}" for k, v in summary.quantiles.items()},
    }
    notes = dict(summary.notes)
    if summary.without_score:
        notes["crops without a score (they count as 0)"] = summary.without_score
    print_summary(console, f"Quality by {summary.scorer!r}", figures, notes)


def _add_cues_options(parser: ArgumentParser) -> None:
    from quavf.workflows.config import MESH_RUNTIMES

    parser.add_argument("store", metavar="STORE", help="Store made by `quavf prepare`")
    parser.add_argument(
        "--runtime",
        default="auto",
        metavar="NAME",
        help=f"Library that runs the face mesh: {list_names(MESH_RUNTIMES)}. auto: ONNX Runtime",
    )
    add_engine_options(parser)


def _compute_cues(args: Namespace, console: Any) -> None:
    from quavf.report.summaries import print_summary
    from quavf.workflows.cues import compute_cues

    summary = compute_cues(args.store, build_engine(args), args.runtime)
    figures: dict[str, object] = {"clips": summary.clips, "faces": summary.faces}
    if summary.faces:
        figures["faces that the mesh reads"] = f"{summary.read / summary.faces:.0%}"
    if summary.sound_s:
        figures["sound with a voice"] = f"{summary.voice_s / summary.sound_s:.0%}"
    notes = {"clips without sound": summary.without_sound} if summary.without_sound else {}
    print_summary(console, "Cues", figures, notes)


def _add_check_options(parser: ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", help="Store made by `quavf prepare`")
    add_engine_options(parser)


def _check(args: Namespace, console: Any) -> int:
    from quavf.workflows.check import check_store

    found = check_store(args.store, build_engine(args))
    for problem in found.problems:
        console.print(problem, markup=False)
    notes = {
        "problems": len(found.problems),
        "clips without sums (made by an earlier version)": found.without_sums,
        "tables of earlier versions of clips (they count as absent)": found.stale_tables,
    }
    counts = "".join(f"; {note}: {count:,}" for note, count in notes.items() if count)
    console.print(f"{found.store}: {found.clips:,} clips checked{counts}", markup=False)
    return PROBLEMS_FOUND if found.problems else 0


PREPARE_SIMULATED = Command(
    "Simulate conversations straight into a store; needs quavf[simulate].",
    "--store STORE [options]",
    _add_simulated_options,
    _prepare_simulated,
)
SIMULATE = Command(
    "Simulate conversations with exact ground truth; needs quavf[simulate].",
    "--out DIR [options]",
    _add_simulate_options,
    _simulate,
)
QUALITY = Command(
    "Score how well each face of a store can be seen.",
    "STORE [options]",
    _add_quality_options,
    _score_quality,
)
CUES = Command(
    "Read lips, head pose, eyes and voice from the faces and sound of a store.",
    "STORE [options]",
    _add_cues_options,
    _compute_cues,
)
CHECK = Command(
    "Check that a store is as it was written: every file, table and crop.",
    "STORE [options]",
    _add_check_options,
    _check,
)
