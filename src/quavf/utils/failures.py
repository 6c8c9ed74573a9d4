"""Errors that nobody foresaw: kept in a log file and named in one line, so that work goes on."""

from __future__ import annotations

import traceback
from pathlib import Path

from quavf.core.errors import QuavfError
from quavf.core.version import __version__


def describe_failure(error: Exception, log_file: Path) -> str:
    """One line about an error; a traceback of one that is not a QuavfError goes to `log_file`."""
    if isinstance(error, QuavfError):
        return str(error)
    what = " ".join(str(error).split())[:200]
    name = type(error).__name__
    line = f"{name}: {what}" if what else name
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"quavf {__version__}\n", *traceback.format_exception(error)]
        log_file.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return f"{line} (unexpected)"
    return f"{line} (unexpected; the details are in {log_file})"
