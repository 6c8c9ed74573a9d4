"""One process at a time in an output folder."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quavf.core.errors import ConfigError
from quavf.utils.files import explain_os_errors, refuse_links, remove_leftovers

LOCK = ".quavf.lock"  # in the folder while a process holds it; says which


@contextmanager
def hold_folder(folder: Path, *leftovers: str, option: str = "--out") -> Iterator[None]:
    """Hold an output folder for this process during the block, and make it if necessary.

    Removes what killed runs have left there half-written, see `remove_leftovers`. Afterwards the
    lock is gone, and so is a folder that is new and empty. Raises ConfigError that names the
    process which holds the folder, or a folder in it that is a link out of it. On a disk without
    locks nobody is refused.
    """
    folder = Path(folder)
    refuse_links(folder, "*")
    with explain_os_errors(folder):
        made = _make_folders(folder)
        handle = _open_lock(folder, option)
    try:
        remove_leftovers(folder, *leftovers)
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        os.close(handle)
        for new in made:
            with suppress(OSError):  # not empty
                new.rmdir()


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; the new ones, deepest first."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return new


def _open_lock(folder: Path, option: str) -> int:
    path = folder / LOCK
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(handle, 1000).decode(errors="replace").strip()
            os.close(handle)
            raise ConfigError(
                f"{folder}: {holder or 'another process'} is writing here; wait until it ends, "
                f"or choose another {option}"
            ) from None
        except OSError:  # a disk without locks
            pass
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        os.close(handle)  # the process before has just removed it
    os.ftruncate(handle, 0)
    os.write(handle, _describe_self().encode())
    return handle


def _describe_self() -> str:
    command = Path(sys.argv[0]).name or "python"
    command = "quavf" if command == "__main__.py" else command  # python -m quavf
    words = [command, *(word for word in sys.argv[1:3] if not word.startswith("-"))]
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()} ({' '.join(words)}, since {since})\n"
