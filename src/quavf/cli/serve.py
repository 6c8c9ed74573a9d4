"""The command `serve`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from quavf.cli.command import Command
from quavf.cli.options import build_config, describe_option

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

TOKEN = "QUAVF_TOKEN"


def _add_serve_options(parser: ArgumentParser) -> None:
    from quavf.live.serve.config import ServeConfig
    from quavf.models.bundled import DEFAULT

    parser.add_argument(
        "--weights",
        metavar="NAME|FOLDER",
        default=DEFAULT,
        help="Weights with a cues branch: talk, or the folder of a bundle",
    )
    parser.add_class_arguments(ServeConfig, None)
    describe_option(
        parser,
        "--token",
        f"Secret that clients must give; default: {TOKEN}, or else a new one if others than this "
        "machine can connect",
    )


def _serve(args: Namespace, console: Any) -> int:
    from dataclasses import replace

    from quavf.live.serve.config import ServeConfig
    from quavf.workflows.serve import serve

    config = build_config(ServeConfig, args)
    if config.token is None and TOKEN in os.environ:
        config = replace(config, token=os.environ[TOKEN])

    def say(url: str) -> None:
        console.print(f"live on {url}", markup=False)
        if not config.is_local and config.certificate is None:
            console.print(
                "  over HTTP: browsers on other machines give a page no camera; see --certificate",
                markup=False,
            )
        console.print("  Ctrl-C ends it; nothing that it sees or hears is stored", markup=False)

    try:
        serve(args.weights, config, say)
    except KeyboardInterrupt:
        console.print("ended", markup=False)
    return 0


SERVE = Command(
    "Serve live sessions to browsers and devices: a page and a WebSocket.",
    "[--weights NAME|FOLDER] [--host ADDRESS] [--port N] [options]",
    _add_serve_options,
    _serve,
)
