"""The commands that make clips and stores: `prepare ...` and `simulate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from quavf.cli.options import engine_of, engine_options, fields_of

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.simulate.config import SimulateConfig
    from quavf.sources.registry import SourceSpec


def _store_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--store", required=True, metavar="STORE", help="folder to make or go on with"
    )


def source_usage(spec: SourceSpec) -> str:
    """The usage line of `quavf prepare NAME`: the options that must be given."""
    required = [f"--{f.name.replace('_', '-')} {_metavar(f)}" for f in _required(spec)]
    return " ".join([*required, "--store STORE [options]"])


def source_options(spec: SourceSpec) -> Callable[[ArgumentParser], None]:
    """The options of `quavf prepare NAME`: those of the source, the store and the engine."""

    def options(parser: ArgumentParser) -> None:
        parser.add_class_arguments(spec.load_config(), None)
        for action in parser._actions:
            for field in fields(spec.load_config()):
                if action.dest == field.name:
                    action.metavar = _metavar(field)
        _store_option(parser)
        engine_options(parser)

    return options


def source(spec: SourceSpec) -> Callable[[Namespace, Any], None]:
    """What `quavf prepare NAME` does."""

    def run(args: Namespace, console: Any) -> None:
        from quavf.workflows.prepare import prepare_source

        config = fields_of(spec.load_config(), args)
        _print_prepared(prepare_source(spec.name, args.store, config, engine_of(args)), console)

    return run


def _required(spec: SourceSpec) -> list[Field[Any]]:
    every = fields(spec.load_config())
    return [f for f in every if f.default is MISSING and f.default_factory is MISSING]


def _metavar(field: Field[Any]) -> str:
    return "PATH" if "Path" in str(field.type) else "VALUE"


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
