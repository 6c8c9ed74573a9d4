"""What a command did, as a short table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

WIDEST = 1000  # columns: a long path is left to the terminal to break, so that it can be copied
NOTES_TITLE = "Dropped, mended or worth knowing"


def print_summary(
    console: Console,
    title: str,
    figures: Mapping[str, Any],
    notes: Mapping[str, int] | None = None,
) -> None:
    """Figures under a title, then what was dropped or mended, with counts."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, show_header=False
    )
    table.add_column(style="dim")
    table.add_column(justify="left")
    for name, value in figures.items():
        table.add_row(name, _text(value))
    console.print(table, width=WIDEST)
    if notes:
        table = Table(box=None, show_header=False, title=NOTES_TITLE, title_justify="left")
        table.add_column(justify="right", style="yellow")
        table.add_column()
        for name, count in notes.items():
            table.add_row(f"{count:,}", name)
        console.print(table, width=WIDEST)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return str(value)
