"""Summaries of what a command did, as short tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

NOTES_TITLE = "Dropped, corrected or worth knowing"


def print_summary(
    console: Console,
    title: str,
    figures: Mapping[str, Any],
    notes: Mapping[str, int] | None = None,
) -> None:
    """Print figures under a title, then counts of what was dropped or corrected."""
    console.print(Text(title, "bold"), soft_wrap=True)
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        _print_line(console, Text(name.ljust(width), "dim"), _text(value))
    if notes:
        console.print(NOTES_TITLE)
        counts = {name: f"{count:,}" for name, count in notes.items()}
        width = max(map(len, counts.values()))
        for name, count in counts.items():
            _print_line(console, Text(count.rjust(width), "yellow"), name)


def _print_line(console: Console, head: Text, text: str) -> None:
    """Print one line of any length; the terminal wraps it, so that a path can be copied."""
    console.print(Text.assemble(" ", head, "  ", text), soft_wrap=True)


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
