"""Options that several commands have, and settings made of options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from quavf.utils.parallel import EngineConfig


def fields_of(config: type[Any], args: Namespace) -> Any:
    """The dataclass out of a parsed command line."""
    from dataclasses import fields

    names = [f.name for f in fields(config) if hasattr(args, f.name)]
    return config(**{name: getattr(args, name) for name in names})


def engine_options(parser: ArgumentParser) -> None:
    """Who works on the clips."""
    from quavf.utils.parallel import EngineConfig

    parser.add_class_arguments(EngineConfig, None)


def engine_of(args: Namespace) -> EngineConfig:
    from quavf.utils.parallel import EngineConfig

    config: EngineConfig = fields_of(EngineConfig, args)
    return config
