"""How options are spelled and shown: hyphens or underscores, short lines, defaults."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from quavf.recipes import recipe_path

WIDEST = 100  # columns


class HelpFormatter(DefaultHelpFormatter):
    """One option a line where it fits, its default in brackets, no types, no repeated names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["width"] = min(shutil.get_terminal_size().columns - 2, WIDEST)
        kwargs["max_help_position"] = 32
        super().__init__(*args, **kwargs)

    def add_argument(self, action: argparse.Action) -> None:
        if action.help != "Path to a configuration file.":  # of a group: --config does as well
            super().add_argument(action)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = (action.help or "").strip().rstrip(".")
        if action.default in (None, "", argparse.SUPPRESS) or action.nargs == 0:
            return text
        default = action.default
        if isinstance(default, tuple):
            default = "[" + ", ".join(f"{value:.4g}" for value in default) + "]"
        return f"{text} ({str(default).replace('%', '%%')})"

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return str(action.metavar or action.dest)
        name = action.option_strings[-1]
        if "." not in name:
            name = "--" + name[2:].replace("_", "-")
        if action.nargs == 0 or name == "--print-config":
            return ", ".join([*action.option_strings[:-1], name])
        return f"{name} {self._value(action)}"

    @staticmethod
    def _value(action: argparse.Action) -> str:
        if action.choices:
            return "|".join(map(str, action.choices))
        if isinstance(action.metavar, str) and "CONFIG" not in action.metavar:
            return action.metavar
        default = action.default
        kinds = {bool: "yes/no", int: "N", float: "X", tuple: "[LOW, HIGH]"}
        return kinds.get(type(default), "VALUE") if default is not None else "VALUE"


def with_underscores(parser: ArgumentParser, words: list[str]) -> list[str]:
    """The same words, options spelled as the parser knows them (`--n-heads` is `--n_heads`)."""
    known = set(parser._option_string_actions)
    spelled = []
    for word in words:
        name, equals, value = word.partition("=")
        other = "--" + name[2:].replace("-", "_")
        fits = name.startswith("--") and name not in known and other in known
        spelled.append(other + equals + value if fits else word)
    return spelled


def with_recipe(words: list[str], command: str) -> list[str]:
    """The same words, `--recipe NAME` read as the configuration file that it stands for.

    Raises ConfigError for a recipe that is not there.
    """
    read: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name == "--recipe":
            recipe = value if equals else next(rest, "")
            read.append(f"--config={recipe_path(recipe, command.removeprefix('train '))}")
        else:
            read.append(word)
    return read
