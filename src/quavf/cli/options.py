"""Options that several commands have, and option dataclasses built from a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.utils.parallel import EngineConfig

Config = TypeVar("Config")


def build_config(config: type[Config], args: Namespace) -> Config:
    """Build an option dataclass from a parsed command line; missing options take defaults."""
    from dataclasses import fields

    names = [f.name for f in fields(config) if hasattr(args, f.name)]  # type: ignore[arg-type]
    return config(**{name: getattr(args, name) for name in names})


def add_engine_options(parser: ArgumentParser) -> None:
    """Add --engine, --workers and --address."""
    from quavf.utils.parallel import EngineConfig

    parser.add_class_arguments(EngineConfig, None)


def build_engine(args: Namespace) -> EngineConfig:
    """Build the engine's options from a parsed command line."""
    from quavf.utils.parallel import EngineConfig

    return build_config(EngineConfig, args)


def describe_option(parser: ArgumentParser, option: str, text: str) -> None:
    """Set the help of an option that came with a dataclass."""
    parser._option_string_actions[option].help = text


def list_names(names: tuple[str, ...]) -> str:
    """Join names for a help text: `a`, `a or b`, `a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
