"""TextGrids, read by praatio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quavf.report.formats.textgrid import write_textgrid
from tests.helpers.timelines import DAY_MS, EMPTY, HARD

pytest.importorskip("pympi", reason="pympi-ling is not installed")
praatio = pytest.importorskip("praatio.textgrid", reason="praatio is not installed")


def read(path: Path, empty: bool = False) -> Any:
    return praatio.openTextgrid(str(path), includeEmptyIntervals=empty, reportingMode="error")


def test_tiers(tmp_path: Path) -> None:
    write_textgrid(HARD, tmp_path / "a.TextGrid")
    grid = read(tmp_path / "a.TextGrid")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, HARD.duration_ms / 1000)
    assert len(grid.tierNames) == 10
    entries = [tuple(e) for e in grid.getTier("Person 1 talks to you").entries]
    assert entries == [(0, 0.001, "0.50"), (1, 2, "0.90"), (2, 3, "0.70")]
    hostile = [name for name in grid.tierNames if name.endswith("looks at you")][1]
    assert hostile.startswith('Zoë "x --> y" <b>&amp; 李')
    looks = [tuple(e) for e in grid.getTier(hostile).entries]
    assert looks == [((DAY_MS + 1) / 1000, (DAY_MS + 3_600_000) / 1000, "0.25")]
    assert [tuple(e) for e in grid.getTier("Person 1 talks to you (label)").entries] == [
        (1.5, 3.5, "label")
    ]


def test_intervals_fill_the_tier(tmp_path: Path) -> None:
    """Praat refuses gaps."""
    write_textgrid(HARD, tmp_path / "a.TextGrid")
    for tier in read(tmp_path / "a.TextGrid", empty=True).tiers:
        ends = [0, *(e.end for e in tier.entries)]
        assert [e.start for e in tier.entries] == ends[:-1]
        assert ends[-1] == HARD.duration_ms / 1000


def test_nobody(tmp_path: Path) -> None:
    write_textgrid(EMPTY, tmp_path / "a.TextGrid")
    assert list(read(tmp_path / "a.TextGrid").tierNames) == ["nobody"]
