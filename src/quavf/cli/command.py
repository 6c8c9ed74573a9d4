"""Parts of a command, and exit codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

PROBLEMS_FOUND = 1  # exit code if a check finds problems, or if an item of several failed
USER_ERROR = 2  # exit code if the user can fix the error


@dataclass(frozen=True)
class Command:
    """One command: its line in the help, its options, and the function that it calls."""

    summary: str
    usage: str | Callable[[], str]  # a function where a plug-in must be loaded for it
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Any], int | None]  # with the console; returns the exit code
