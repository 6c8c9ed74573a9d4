"""The `quavf` command: a word tells the subcommand, errors become one line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from quavf.cli.commands import COMMANDS, USER_ERROR, Command, find_command
from quavf.core.errors import QuavfError
from quavf.core.version import __version__
from quavf.sources.registry import source_names

INTERRUPTED = 130  # exit code, as shells give it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0, 1 problems found, 2 user's error, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = _command_name(words)
    if name is None:
        return _top_level(words)
    try:
        command = find_command(name)
        if command is None:
            return _fail(f"no command {name!r}; see `quavf --help`")
        _set_up_messages()
        return _run(name, command, rest) or 0
    except QuavfError as error:
        return _fail(str(error))
    except SystemExit as stop:  # what a parser makes of --help
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print("quavf: interrupted; the same command goes on from here", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        return 0


def _run(name: str, command: Command, words: list[str]) -> int | None:
    from jsonargparse import ArgumentParser, set_parsing_settings

    from quavf.cli.parsing import HelpFormatter, parse, with_recipe, with_underscores

    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    parser = ArgumentParser(
        prog=f"quavf {name}",
        usage=f"quavf {name} {command.usage}",
        description=command.summary,
        formatter_class=HelpFormatter,
        exit_on_error=False,
    )
    command.options(parser)
    words = with_recipe(with_underscores(parser, words), name)
    return command.run(parse(parser, words), _console())


def _command_name(words: list[str]) -> tuple[str | None, list[str]]:
    """The command in front of the options: one word, or two for `prepare` and `train`."""
    if not words or words[0].startswith("-"):
        return None, words
    two = " ".join(words[:2])
    if not any(name.startswith(f"{words[0]} ") for name in COMMANDS):
        return words[0], words[1:]
    if len(words) == 1 or words[1].startswith("-"):
        return None, words
    return two, words[2:]


def _top_level(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(f"quavf {__version__}")  # noqa: T201
        return 0
    group = f"{words[0]} " if words and not words[0].startswith("-") else ""
    if words and not group and words[0] not in ("-h", "--help"):
        return _fail(f"no option {words[0]!r}; see `quavf --help`")
    shown = {name: c.summary for name, c in COMMANDS.items() if name.startswith(group)}
    if group == "prepare ":
        installed = [name for name in source_names() if f"prepare {name}" not in COMMANDS]
        shown |= {f"prepare {name}": "A source of an installed package." for name in installed}
    lines = [f"usage: quavf {group}<command> ...", ""]
    if not group:
        lines += ["Is this person talking to me? Talking-to-me detection in egocentric video.", ""]
    lines += [f"  {name:<20}{summary}" for name, summary in shown.items()]
    lines += ["", "`quavf <command> --help` tells a command's options."]
    print("\n".join(lines))  # noqa: T201
    return 0


def _fail(message: str) -> int:
    print(f"quavf: error: {message}", file=sys.stderr)  # noqa: T201
    return USER_ERROR


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def _set_up_messages() -> None:
    from rich.logging import RichHandler

    from quavf.utils.progress import error_console

    handler = RichHandler(
        console=error_console(), show_time=False, show_path=False, markup=False, highlighter=None
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
