"""The `quavf` command. It finds the subcommand, and turns errors into one line and an exit code."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from quavf.cli.command import USER_ERROR
from quavf.cli.commands import group_commands, list_commands
from quavf.cli.doctor import examine_and_print
from quavf.core.errors import QuavfError
from quavf.core.version import __version__
from quavf.utils.extras import explain_missing, is_installed

INTERRUPTED = 130  # exit code of shells
LASTING = ("live", "serve", "label")  # commands that end when they are interrupted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: success; 1: a check found problems, or some of several videos or clips failed; 2: the user
    can fix it; 130: interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = _split_command(words)
    if name is None:
        return _print_help(words)
    if name not in list_commands():
        return _fail(f"no command {name!r}; see `quavf --help`")
    if name == "doctor" and not all(map(is_installed, ("jsonargparse", "rich"))):
        return examine_and_print("--json" in rest)
    try:
        with _stop_on_sigterm():
            return _run(name, rest) or 0
    except QuavfError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        told = explain_missing(error, f"`quavf {name}`")
        if told is None:
            raise
        return _fail(str(told))
    except SystemExit as stop:  # raised by the parser after --help
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        hint = "" if name in LASTING else "; repeat the command to resume"
        print(f"quavf: interrupted{hint}", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        return 0


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does; schedulers send it before they kill."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(name: str, words: list[str]) -> int | None:
    from jsonargparse import ArgumentParser, set_parsing_settings

    from quavf.cli.parsing import HelpFormatter, parse, replace_recipes, spell_options

    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    command = list_commands()[name]
    usage = command.usage if isinstance(command.usage, str) else command.usage()
    parser = ArgumentParser(
        prog=f"quavf {name}",
        usage=f"quavf {name} {usage}",
        description=command.summary,
        formatter_class=HelpFormatter,
        exit_on_error=False,
    )
    command.add_options(parser)
    args = parse(parser, replace_recipes(spell_options(parser, words), name))
    _set_up_messages()
    return command.run(args, _open_console())


def _split_command(words: list[str]) -> tuple[str | None, list[str]]:
    """Split off the command in front of the options: one word, or two as in `train audio`."""
    if not words or words[0].startswith("-"):
        return None, words
    two = " ".join(words[:2])
    if two in list_commands():
        return two, words[2:]
    alone = words[0] in list_commands()  # such as `bundle`, beside `bundle push`
    is_group = not alone and any(name.startswith(f"{words[0]} ") for name in list_commands())
    if is_group and (len(words) == 1 or words[1].startswith("-")):
        return None, words
    return (two if is_group else words[0]), words[1:]


def _print_help(words: list[str]) -> int:
    """Print the version, all commands, or those of `prepare` or `train`."""
    if words[:1] == ["--version"]:
        print(f"quavf {__version__}")  # noqa: T201
        return 0
    prefix = f"{words[0]} " if words and not words[0].startswith("-") else ""
    if words and not prefix and words[0] not in ("-h", "--help"):
        return _fail(f"no option {words[0]!r}; see `quavf --help`")
    lines = [f"usage: quavf {prefix}<command> ...", ""]
    if not prefix:
        lines += ["Is this person talking to me? Talking-to-me detection in egocentric video.", ""]
    for group, commands in group_commands().items():
        shown = [(n, c.summary) for n, c in commands.items() if n.startswith(prefix)]
        lines += [f"{group}:"] if shown and not prefix else []
        lines += [f"  {name:<20}{summary}" for name, summary in shown]
    lines += ["", "`quavf <command> --help` lists the options of a command."]
    print("\n".join(lines))  # noqa: T201
    return 0


def _fail(message: str) -> int:
    print(f"quavf: error: {message}", file=sys.stderr)  # noqa: T201
    return USER_ERROR


def _open_console() -> Any:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


class _Lines(logging.Handler):
    """One message a line, to what `sys.stderr` is at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)  # noqa: T201


def _set_up_messages() -> None:
    """Warnings in colour in a terminal, one a line in a file or a service's log."""
    if not sys.stderr.isatty():
        lines, form = _Lines(), "%(levelname)-8s %(message)s"
        logging.basicConfig(level=logging.WARNING, format=form, handlers=[lines])
        return
    from rich.logging import RichHandler

    from quavf.utils.progress import error_console

    handler = RichHandler(
        console=error_console(), show_time=False, show_path=False, markup=False, highlighter=None
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
