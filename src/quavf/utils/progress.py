"""Progress bars for long work, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@lru_cache(maxsize=1)
def error_console() -> Console:
    """The console of both progress bars and warnings, so that they do not overwrite each other.

    Lines are wrapped only in a terminal.
    """
    from rich.console import Console

    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())


_silent = False


def silence() -> None:
    """Show no bars in this process; the calling process shows them."""
    global _silent
    _silent = True


class Progress:
    """Counts finished items, and the frames (or rows) in them."""

    def __init__(self, update: object = None) -> None:
        self.n_frames = 0
        self._update = update

    def advance(self, n_items: int = 1, n_frames: int = 0) -> None:
        self.n_frames += n_frames
        if callable(self._update):
            self._update(n_items, self.n_frames)


@contextmanager
def show_progress(
    title: str, total: int, unit: str = "clips", inner: str = "frames"
) -> Iterator[Progress]:
    """Show a bar of `total` items, with the rates of items and of the frames in them."""
    if _silent:
        yield Progress()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Rates(ProgressColumn):
        def render(self, task: Task) -> Text:
            elapsed = max(task.elapsed or 0.0, 1e-9)
            items, frames = task.completed / elapsed, task.fields["frames"] / elapsed
            inside = f" · {frames:,.0f} {inner}/s" if task.fields["frames"] else ""
            return Text(f"{items:.2f} {unit}/s{inside}", style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rates(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=error_console()) as bar:
        task = bar.add_task(title, total=total, frames=0)

        def update(n_items: int, frames: int) -> None:
            bar.update(task, advance=n_items, frames=frames)

        yield Progress(update)
