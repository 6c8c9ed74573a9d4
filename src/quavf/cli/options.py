"""Options that several commands have, and option dataclasses built from a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.results.config import MomentsConfig
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
    """Add `--NAME CKPT` for each branch."""
    from quavf.core.branches import branch_specs

    for spec in branch_specs():
        parser.add_argument(
            f"--{spec.name}",
            metavar="CKPT",
            help=f"Model of the {spec.name} branch ({spec.summary}): a checkpoint, a run, an "
            "exported model, or the name of weights; empty: leave it out",
        )


def add_weights_options(parser: ArgumentParser) -> None:
    """Add `--weights`, and `--NAME CKPT` for each branch."""
    from quavf.models.bundled import DEFAULT, weights_names

    parser.add_argument(
        "--weights",
        metavar="NAME|FOLDER|HUB",
        help=f"Weights: {list_names(weights_names())}, the folder of a bundle, or one on the "
        f"Hugging Face Hub, hf://owner/name[@revision]; default: {DEFAULT}, unless an option names "
        "a branch's model",
    )
    add_branch_options(parser)


def add_moments_options(parser: ArgumentParser, source: str) -> None:
    """Add `--moments.NAME` for each setting of moments; the defaults come from `source`."""
    from dataclasses import fields

    from quavf.results.config import MomentsConfig

    parser.add_class_arguments(MomentsConfig, "moments", instantiate=False)
    for field in fields(MomentsConfig):
        action = parser._option_string_actions[f"--moments.{field.name}"]
        action.default = None
        action.metavar = "yes/no" if isinstance(field.default, bool) else "X"
        action.help = f"{str(action.help).rstrip('.')}; default: {source}"


def read_moments(args: Namespace, default: MomentsConfig) -> MomentsConfig:
    """The settings of moments, with those that the command line gives instead of the default's."""
    from dataclasses import fields, replace

    given = {f.name: getattr(args.moments, f.name) for f in fields(default)}
    return replace(default, **{name: value for name, value in given.items() if value is not None})


def describe_branch_options(value: str) -> str:
    """List `[--NAME VALUE]` of all branches for a usage line."""
    from quavf.core.branches import branch_names

    return " ".join(f"[--{name} {value}]" for name in branch_names())


def read_branches(args: Namespace) -> dict[str, str]:
    """Read the models that the command line names, by branch; an empty text leaves it out."""
    from quavf.core.branches import branch_names

    return {name: path for name in branch_names() if (path := getattr(args, name)) is not None}


def list_names(names: tuple[str, ...]) -> str:
    """Join names for a help text: `a`, `a or b`, `a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
