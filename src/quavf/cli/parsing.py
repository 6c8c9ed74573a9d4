"""Parsing of options and formatting of help: hyphens or underscores, short lines, defaults."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from quavf.core.errors import ConfigError
from quavf.training.recipes import recipe_path
from quavf.utils.files import read_text

WIDEST = 100  # columns
LARGEST_CONFIG = 1_000_000  # bytes
MOST_NODES = 10_000  # values in a file of options, aliases written out
LONGEST = 400  # characters of an error message
FILE_MESSAGES = (  # errors in which jsonargparse does not name the file
    "Problems parsing config|Unexpected config|Option .* is not accepted|Group .* does not accept"
)


class HelpFormatter(DefaultHelpFormatter):
    """Format one option per line where it fits, with its default, without types."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["width"] = min(shutil.get_terminal_size().columns - 2, WIDEST)
        kwargs["max_help_position"] = 32
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def add_argument(self, action: argparse.Action) -> None:
        if isinstance(action, argparse._HelpAction):
            action.help = "Show this help and exit"
        elif isinstance(action.help, str) and action.help is not argparse.SUPPRESS:
            action.help = action.help[:1].upper() + action.help[1:]
        if action.help == "Path to a configuration file.":  # of a group; --config is enough
            return
        if not str(action.help).startswith("Former name"):  # still works for one version
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
        name = _spell(action.option_strings[-1])
        if action.nargs == 0 or name == "--print-config":
            return ", ".join([*action.option_strings[:-1], name])
        return f"{name} {self._name_value(action)}"

    @staticmethod
    def _name_value(action: argparse.Action) -> str:
        if action.choices:
            return "|".join(map(str, action.choices))
        default = action.default
        own = ("CONFIG", "ITEM")  # in names that jsonargparse makes
        named = isinstance(action.metavar, str) and not any(n in action.metavar for n in own)
        if named and (not isinstance(default, tuple) or str(action.metavar).startswith("[")):
            return str(action.metavar)
        if isinstance(default, tuple):
            return "[LOW, HIGH]" if len(default) == 2 else "[A, B, ...]"
        kinds = {bool: "yes/no", int: "N", float: "X"}
        return kinds.get(type(default), "VALUE") if default is not None else "VALUE"


def _spell(name: str) -> str:
    """Spell an option as the help does: hyphens, but underscores after a dot, as in YAML."""
    return name if "." in name else "--" + name[2:].replace("_", "-")


def spell_options(parser: ArgumentParser, words: list[str]) -> list[str]:
    """Spell options on a command line as the parser knows them (`--n-heads` as `--n_heads`).

    A word that begins with a dash, is not an option and names a file means that file.
    """
    known = set(parser._option_string_actions)
    spelled = []
    for word in words:
        name, equals, value = word.partition("=")
        if word[:1] == "-" and name not in known and os.path.lexists(word):
            spelled.append(f"./{word}")
            continue
        other = "--" + name[2:].replace("-", "_")
        fits = name.startswith("--") and name not in known and other in known
        spelled.append(other + equals + value if fits else word)
    return spelled


def replace_recipes(words: list[str], command: str) -> list[str]:
    """Replace `--recipe NAME` on a command line by `--config` with the recipe's file.

    Raises ConfigError for an unknown recipe.
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


def parse(parser: ArgumentParser, words: list[str]) -> Namespace:
    """Parse a command line and build its dataclasses. Raises ConfigError, one line, for errors."""
    for file in _config_files(words):
        _check_config_file(Path(file))
    try:
        parsed = parser.parse_args(_decode_config_files(words))
        for name, value in vars(parser.get_defaults()).items():
            if isinstance(value, Namespace) and not isinstance(parsed[name], Namespace):
                raise ConfigError(f"--{name}: expected options of its own, found {parsed[name]!r}")
        built: Namespace = parser.instantiate(parsed)
        return built
    except argparse.ArgumentError as error:
        message = _one_line(str(error))
        if re.match(FILE_MESSAGES, message):
            message = f"{' or '.join(_config_files(words))}: {message}"
        raise ConfigError(f"{message}; see `{parser.prog} --help`") from None


def _decode_config_files(words: list[str]) -> list[str]:
    """Replace the `--config` files that are not plain UTF-8, such as UTF-16, by their content."""
    decoded, rest = [], iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        path = Path(value if equals else next(rest, "")) if name == "--config" else None
        if path is None or not path.is_file():
            decoded += [word] if path is None or equals else [word, str(path)]
            continue
        try:
            text = read_text(path)
            plain = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n") == text
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not a text file in UTF-8 or UTF-16 ({error})") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
        decoded.append(f"--config={path if plain else text}")
    return decoded


def _config_files(words: list[str]) -> list[str]:
    pairs = zip(words, [*words[1:], ""], strict=False)  # none without words
    return [
        word.partition("=")[2] or following
        for word, following in pairs
        if word.partition("=")[0] == "--config"
    ]


def _check_config_file(path: Path) -> None:
    """Raise ConfigError for a file that is no UTF-8, or that unfolds to more than options need."""
    import yaml

    if not path.is_file():
        return
    if path.stat().st_size > LARGEST_CONFIG:
        raise ConfigError(f"{path}: too large for a file of options; give a YAML file of options")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8"
        ) from None
    try:
        n_nodes = _count_nodes(yaml.compose(text), {})
    except (yaml.YAMLError, ValueError):
        return  # the parser says what is wrong with it
    except RecursionError:
        n_nodes = MOST_NODES + 1
    if n_nodes > MOST_NODES:
        raise ConfigError(f"{path}: nesting or aliases unfold to more than {MOST_NODES:,} values")


def _count_nodes(node: Any, known: dict[int, int]) -> int:
    """Count a YAML node and all inside it, as if every alias were written out."""
    if id(node) not in known:
        known[id(node)] = MOST_NODES + 1  # of a node inside itself
        inside = getattr(node, "value", None)
        parts = inside if isinstance(inside, list) else []
        flat = [n for part in parts for n in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_count_nodes(part, known) for part in flat)
    return known[id(node)]


def _one_line(message: str) -> str:
    """Shorten an error message of jsonargparse to one line without Python types."""
    text = " ".join(message.split())
    pattern = r'Parser key "(?P<key>.+?)": (?P<rest>.*?)(?:Got|Given) value: (?P<value>.*)'
    if (found := re.fullmatch(pattern, text)) is None:
        return text[:LONGEST]
    kinds = [kind for kind in re.findall(r"<class '(\w+)'>", found["rest"]) if kind != "NoneType"]
    name = {"int": "a whole number", "float": "a number", "bool": "true or false"}
    expected = name.get(kinds[0], "") if kinds else ""
    if not expected:
        size = re.search(r"tuple with (\d+)", found["rest"])
        expected = f"[LOW, HIGH], {size[1]} numbers" if size else "a list such as [A, B]"
    return f"{_spell('--' + found['key'])}: expected {expected}, found {found['value']}"[:LONGEST]
