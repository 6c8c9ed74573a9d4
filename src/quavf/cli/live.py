"""The command `live`: events of a camera, a stream or a file as it plays."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from quavf.cli.command import Command
from quavf.cli.options import (
    add_moments_options,
    add_weights_options,
    build_config,
    read_branches,
    read_moments,
)

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.workflows.config import RunConfig


def _add_live_options(parser: ArgumentParser) -> None:
    from quavf.workflows.config import LiveOptions

    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="camera, camera:NAME or /dev/video0; an address such as rtsp://HOST/PATH; or a file",
    )
    parser.add_class_arguments(LiveOptions, None)
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="Score at which somebody talks to you; short for --moments.threshold",
    )
    add_weights_options(parser)
    add_moments_options(parser, "as the weights say")


def _read_config(args: Namespace) -> RunConfig:
    from dataclasses import replace

    from quavf.workflows.config import RunConfig

    config = RunConfig(weights=args.weights, branches=read_branches(args), causal=True)
    if args.threshold is not None:
        args.moments.threshold = args.threshold
    return replace(config, moments=read_moments(args, config.choose_bundle().moments))


def _live(args: Namespace, console: Any) -> None:
    from rich.console import Console

    from quavf.core.names import printable
    from quavf.report.words import summarise
    from quavf.utils.progress import error_console
    from quavf.workflows.config import LiveOptions
    from quavf.workflows.live import run_live

    def tell(event: Any) -> None:
        print(event.to_line(), flush=True)  # noqa: T201

    errors: Console = error_console()
    status = errors.status("Starting") if sys.stderr.isatty() else None
    with status or nullcontext():
        result = run_live(
            args.source,
            _read_config(args),
            build_config(LiveOptions, args),
            tell,
            status.update if status else lambda line: None,
        )
    if result is not None:
        errors.print(printable(summarise(result).text), markup=False)
        errors.print(printable(args.record), markup=False)


LIVE = Command(
    "Judge a camera, a stream or a file as it plays; events as JSON lines.",
    "SOURCE [--look-ahead S] [--record DIR] [options]",
    _add_live_options,
    _live,
)
