"""Plug-ins by name: built in, registered by code, or brought by installed packages.

An installed package adds a plug-in through an entry point. In its `pyproject.toml`:

    [project.entry-points."quavf.scorers"]
    sharp = "my_package.sharp:SharpScorer"

The groups are `quavf.branches`, `quavf.sources`, `quavf.detectors` and `quavf.scorers`. A plug-in's
module is imported when the plug-in is first used, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from quavf.core.errors import ConfigError
from quavf.core.names import is_safe_name

Plugin = TypeVar("Plugin")


class Registry(Generic[Plugin]):
    """The plug-ins of one kind; `kind` names it in messages, such as "face detector"."""

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        """`builtin` maps names to "module:attribute"."""
        self.kind, self.group = kind, group
        self._plugins: dict[str, Plugin | str] = dict(builtin)

    def register(self, name: str, plugin: Plugin) -> None:
        """Add a plug-in. Raises ConfigError if the name is taken, or cannot name a file."""
        if not is_safe_name(name):
            raise ConfigError(f"{self.kind} {name!r}: use letters, digits, '_', '-' and '.' only")
        if name in self.names():
            raise ConfigError(f"{self.kind} {name!r}: the name is taken; choose another")
        self._plugins[name] = plugin

    def unregister(self, name: str) -> None:
        """Remove a plug-in that `register` added."""
        del self._plugins[name]

    def names(self) -> tuple[str, ...]:
        """All names that `get` knows: built-in ones in their order, then the others, sorted."""
        return tuple(dict.fromkeys([*self._plugins, *sorted(self._installed)]))

    def get(self, name: str) -> Plugin:
        """The plug-in of that name. Raises ConfigError if there is none, or it cannot be loaded."""
        if name in self._plugins:
            plugin = self._plugins[name]
            if isinstance(plugin, str):
                plugin = self._plugins[name] = cast(Plugin, load_attribute(plugin))
            return plugin
        if name not in self._installed:
            raise ConfigError(
                f"{self.kind} {name!r}: unknown; choose one of {', '.join(self.names())}"
            )
        return self._load_installed(name)

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def _load_installed(self, name: str) -> Plugin:
        point = self._installed[name]
        try:
            plugin = cast(Plugin, point.load())
        except Exception as error:  # whatever an installed package raises when it is imported
            raise ConfigError(
                f"{self.kind} {name!r}: {point.value} cannot be loaded "
                f"({type(error).__name__}: {error}); repair or uninstall the package that brings it"
            ) from error
        self._plugins[name] = plugin
        return plugin


def load_attribute(reference: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)
