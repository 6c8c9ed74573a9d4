"""Work for the engine's tests; imports nothing heavy, since every worker imports it anew."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from quavf.core.errors import MediaError
from quavf.utils.files import replace_file


class Squaring:
    """Squares numbers; counts in `folder` how often it was brought to life."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / f"made-{os.getpid()}-{os.urandom(4).hex()}").touch()

    def __reduce__(self) -> tuple[type[Squaring], tuple[Path]]:
        return Squaring, (self.folder,)

    def __call__(self, item: int) -> tuple[int, int]:
        return item * item, os.getpid()


def warn(item: int) -> None:
    logging.getLogger("quavf.test").warning("item %d is odd", item)


def refuse(item: int) -> int:
    if item == 2:
        raise MediaError("two.mp4: not a video")
    return item


def write_here(item: int) -> None:
    Path(f"{item}.txt").write_text(str(item))


class Dying:
    """Its process is killed at item 3, so many times."""

    def __init__(self, folder: Path, times: int) -> None:
        self.folder, self.times = folder, times

    def __call__(self, item: int) -> int:
        marks = [self.folder / str(k) for k in range(self.times)]
        if item == 3 and (left := [mark for mark in marks if not mark.exists()]):
            left[0].touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item


class HalfWriting:
    """Starts to write a file and does not come to an end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: int) -> None:
        with replace_file(self.folder / f"{item}.txt") as temporary:
            temporary.write_text("half")
            (self.folder / f"pid-{os.getpid()}").touch()
            time.sleep(600)
