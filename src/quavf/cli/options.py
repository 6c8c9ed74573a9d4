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


def add_branch_options(parser: ArgumentParser) -> None:
    """Add `--NAME CKPT` for each branch, or describe the option where a dataclass brought it."""
    from quavf.core.branches import BUILT_IN, branch_specs

    for spec in branch_specs():
        others = ", an exported model, or small" if spec in BUILT_IN else " or an exported model"
        text = f"Model of the {spec.name} branch ({spec.summary}): a checkpoint, a run{others}"
        if f"--{spec.name}" in parser._option_string_actions:
            action = parser._option_string_actions[f"--{spec.name}"]
            action.metavar, action.help = "CKPT", f"{text}; empty: leave it out"
        else:
            parser.add_argument(f"--{spec.name}", metavar="CKPT", help=text)


def describe_branch_options(value: str = "CKPT") -> str:
    """List `[--NAME CKPT]` of all branches for a usage line, or with another value."""
    from quavf.core.branches import branch_names

    return " ".join(f"[--{name} {value}]" for name in branch_names())


def read_further_branches(args: Namespace) -> dict[str, str]:
    """Read the checkpoints of branches that plug-ins brought, by name."""
    from quavf.core.branches import BUILT_IN, branch_names

    further = set(branch_names()) - {spec.name for spec in BUILT_IN}
    return {name: getattr(args, name) for name in sorted(further) if getattr(args, name)}


def list_names(names: tuple[str, ...]) -> str:
    """Join names for a help text: `a`, `a or b`, `a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
