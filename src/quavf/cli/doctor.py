"""The command `doctor`, which works also where most libraries are missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from quavf.cli.command import PROBLEMS_FOUND, Command

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Print one JSON object instead")


def _run(args: Namespace, console: Any) -> int:
    return examine_and_print(args.json)


def examine_and_print(as_json: bool) -> int:
    """Print what was found, without any library; the exit code says whether `run` can run."""
    from quavf.core.names import printable
    from quavf.workflows.doctor import describe, examine

    found = examine()
    text = json.dumps(found.to_json(), indent=1) if as_json else describe(found)
    print(printable(text))  # noqa: T201
    return 0 if found.can_run else PROBLEMS_FOUND


DOCTOR = Command(
    "Examine this installation: what is there, what is missing, and for which command.",
    "[--json]",
    _add_options,
    _run,
)
