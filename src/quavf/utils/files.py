"""Read and write files safely: write under a temporary name, then rename."""

from __future__ import annotations

import codecs
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from quavf.core.errors import AnnotationError, ConfigError, QuavfError

OLD_S = 3600.0  # on a disk without locks, a temporary file older than this is abandoned
BYTE_ORDER_MARKS = (  # the longer ones first: UTF-32 begins like UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, UTF-16 or UTF-32, with or without mark; lines end with `\\n`.

    Raises OSError, or UnicodeDecodeError if it is in no such encoding.
    """
    data = Path(path).read_bytes()
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), None)
    text = data.decode(encoding or _guess_encoding(data))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guess_encoding(data: bytes) -> str:
    """Guess the encoding of a text without mark: in UTF-16, every other byte of text is zero."""
    even, odd, half = data[::2].count(0), data[1::2].count(0), len(data) // 4
    if odd > half and not even:
        return "utf-16-le"
    return "utf-16-be" if even > half and not odd else "utf-8"


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises AnnotationError that names file, line and column."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from None
    if not text.strip():
        raise AnnotationError(f"{path}: the file is empty; download or export it again")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: not valid JSON ({error})") from None


def refuse_links(folder: Path, *names: str) -> None:
    """Raise ConfigError if one of these folders in `folder` is a link out of it.

    Written through, it would change files that nobody named. `names` may be patterns.
    """
    folder = Path(folder)
    for path in (path for name in names for path in folder.glob(name)):
        outside = not path.resolve().is_relative_to(folder.resolve())
        if outside and path.is_symlink() and path.is_dir():
            raise ConfigError(
                f"{path}: a link to {path.resolve()}, outside of the folder to write; remove it, "
                "or name its target instead"
            )


def config_hash(config: Any) -> str:
    """A short, stable hash of any JSON value."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, such as a full disk, into a one-line QuavfError."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise QuavfError(
            f"{where}: cannot write ({error.strerror or error}); check free space and "
            "permissions there, or choose another place"
        ) from error


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` if the block succeeds, and is deleted if not."""
    path = Path(path)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _create_locked(partial(_make_file, path))
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` as a whole; see `replace_file`."""
    path = Path(path)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _create_locked(partial(_make_folder, path))
        older = temporary.with_suffix(".old.tmp")
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                path.rename(older)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(older, ignore_errors=True)
            os.close(handle)


def _make_file(path: Path) -> tuple[int, Path]:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    return handle, Path(name)


def _make_folder(path: Path) -> tuple[int, Path]:
    name = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    return os.open(name, os.O_RDONLY), Path(name)


def _create_locked(make: Callable[[], tuple[int, Path]]) -> tuple[int, Path]:
    """Make a temporary file or folder and lock it: it is a leftover as soon as its process ends."""
    while True:
        handle, temporary = make()
        _lock(handle, shared=False)
        if _is_at(handle, temporary):
            return handle, temporary
        os.close(handle)  # taken for a leftover before it was locked


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one that has this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def remove_leftovers(folder: Path, *patterns: str) -> None:
    """Remove the temporary files and folders of processes that have ended.

    `patterns` say where below `folder`, and that a name has two parts (`.NAME.RANDOM.tmp`, not
    another program's `.NAME.tmp`); default: directly in it. What another process still writes is
    locked and stays.
    """
    for pattern in patterns or (".*.*.tmp",):
        for path in Path(folder).glob(pattern):
            if _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(True)


def _is_abandoned(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # it was finished in the meantime, or is not ours
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a disk without locks
        return time.time() - path.stat().st_mtime > OLD_S
    finally:
        os.close(handle)
    return True


@contextmanager
def lock_file(path: Path, *, shared: bool = False, patience_s: float = 0.0) -> Iterator[bool]:
    """Lock an existing file, exclusively or `shared`; yields whether the lock was free.

    Waits up to `patience_s` for it. Blocks of this process and of other processes exclude each
    other in the same way. The lock ends with the block, or with the process. Disks without locks
    (some network drives) always yield True.
    """
    path = Path(path)
    with explain_os_errors(path):  # network drives lock only files that are open for writing
        handle = os.open(path, os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY)
    try:
        deadline = time.monotonic() + patience_s
        while not (free := _lock(handle, shared)) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield free
    finally:
        os.close(handle)


def _lock(handle: int, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # systems differ in what they call "taken"
        return False
    except OSError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file; one that already holds this text is not touched."""
    path = Path(path)
    with explain_os_errors(path):
        if path.is_file() and path.read_bytes() == text.encode():
            return
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON; NaN becomes null, so that every reader accepts the file."""
    write_text(path, json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
