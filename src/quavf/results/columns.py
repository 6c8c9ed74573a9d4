"""Score columns by name: the part that all tables of scores share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from quavf.core.branches import FUSED, known_columns, score_columns
from quavf.core.records import Array, Floats


class ScoreColumns(ABC):
    """Base of a table with score columns: `table["fused"]` or `table.fused`.

    `columns` maps names to (N,) values in [0, 1], where NaN means missing: for each branch the
    probability of talking to me, what it writes beside it (`quality` of the visual window's faces,
    the probabilities of `speaking` and of `looking` at me), and the `fused` score. A column that a
    table lacks reads as NaN throughout.
    """

    columns: Mapping[str, Floats]

    @abstractmethod
    def __len__(self) -> int:
        """Count the rows."""

    def __getitem__(self, name: str) -> Floats:
        """A score column, (N,). Raises KeyError for a name that no branch writes."""
        if name in self.columns:
            return self.columns[name]
        if name not in known_columns():
            raise KeyError(
                f"{name!r} is not a score column; there are {', '.join(known_columns())}"
            )
        return np.full(len(self), np.nan)

    def __getattr__(self, name: str) -> Floats:
        # Python looks here only for what is not a field; `columns` itself is missing in unpickling.
        if name != "columns" and not name.startswith("_"):
            try:
                return self[name]
            except KeyError:
                pass
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def take_columns(self, rows: Array) -> dict[str, Floats]:
        """The score columns at the rows of an index array or a mask."""
        return {name: values[rows] for name, values in self.columns.items()}

    def _check_columns(self) -> None:
        unknown = set(self.columns) - set(known_columns())
        assert not unknown, f"no registered branch writes {sorted(unknown)}"
        lengths = {name: len(values) for name, values in self.columns.items()}
        assert set(lengths.values()) <= {len(self)}, (len(self), lengths)


def list_columns_to_write(tables: list[ScoreColumns]) -> tuple[str, ...]:
    """The score columns of a file: the standard ones, and others that have a value, fused last."""
    standard = score_columns()
    further = [
        name
        for name in known_columns()
        if name not in standard
        and any(name in t.columns and not np.isnan(t.columns[name]).all() for t in tables)
    ]
    return (*standard[:-1], *further, FUSED)


def list_columns_to_read(found: list[str]) -> tuple[str, ...]:
    """The score columns to read of a file: the standard ones, and others that it has."""
    standard = score_columns()
    return tuple(name for name in known_columns() if name in standard or name in found)
