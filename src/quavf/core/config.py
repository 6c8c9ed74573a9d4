"""Option dataclasses to plain values and back, for files of settings and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from quavf.core.errors import ConfigError

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Convert a config to plain values that JSON can hold."""
    return dict(asdict(config))


def from_dict(cls: type[Config], values: Any, where: object = "configuration") -> Config:
    """Build a config from plain values, nested ones included.

    Raises ConfigError, which names the field, for values of another type.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected an object of settings, found {values!r:.60}")
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}; known are {sorted(known)}")
    built: dict[str, Any] = {}
    for name, value in values.items():
        built[name] = _check_type(hints[name], value, f"{where}.{name}")
    return cls(**built)


def _check_type(kind: Any, value: Any, where: str) -> Any:
    """Convert a value to a field's type. Raises ConfigError; booleans are rejected as numbers."""
    if is_dataclass(kind) and isinstance(kind, type):
        return from_dict(kind, value, where)
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        kinds = get_args(kind)
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value)
        if len(value) == len(kinds):
            return tuple(_check_type(k, v, where) for k, v in zip(kinds, value, strict=True))
    elif isinstance(kind, UnionType):
        if type(value) in get_args(kind):
            return value
    elif type(value) is kind or (kind is float and type(value) is int):
        return value
    type_name = getattr(kind, "__name__", kind)
    expected = "a list of numbers" if get_origin(kind) is tuple else f"of type {type_name}"
    raise ConfigError(f"{where}: {value!r:.60} is not {expected}")
