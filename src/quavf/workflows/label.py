"""Label the videos that `quavf run` has analysed, in a browser."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path

from quavf.core.errors import ConfigError, ScoresError
from quavf.results.video import RESULT_FILE

PORT = 8632  # taken if it is free: a browser keeps unsaved labels by address


def find_results(out: Path) -> dict[str, Path]:
    """The results of `quavf run` in a folder, or in its folders, by name.

    Raises ScoresError if there is none.
    """
    out = Path(out)
    if (out / RESULT_FILE).is_file():
        return {out.resolve().name: out.resolve()}
    found = sorted(path.parent.resolve() for path in out.glob(f"*/{RESULT_FILE}"))
    if not found:
        raise ScoresError(f"{out}: no result of `quavf run`; run it on your videos first")
    return {path.name: path for path in found}


def serve_labels(out: Path | str, on_ready: Callable[[str], None], port: int | None = None) -> None:
    """Serve the pages of results for labelling until it is interrupted.

    `on_ready` is called with the address. Labels are saved in `labels.json` beside each result.
    Raises ConfigError if `quavf[live]` is not installed, or if the port is taken.
    """
    try:
        import uvicorn

        from quavf.report.labelling import HOST, LabelApp
    except ImportError as error:
        raise ConfigError(
            f"label: {error.name} is not installed; pip install 'quavf[live]', or label in "
            "report.html itself, which needs no server"
        ) from None
    app = LabelApp(find_results(Path(out)))
    with _listen(HOST, port) as listening:
        on_ready(f"http://{HOST}:{listening.getsockname()[1]}/{app.token}/")
        config = uvicorn.Config(app.build(), log_level="warning", lifespan="off")
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            return


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket at a port; without one, at the usual port or any that is free."""
    for choice in (port,) if port is not None else (PORT, 0):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, choice))
            listening.listen()
        except (OSError, OverflowError) as error:
            listening.close()
            if port is not None or getattr(error, "errno", None) != errno.EADDRINUSE:
                reason = getattr(error, "strerror", None) or error
                raise ConfigError(f"--port: {choice} cannot be used ({reason})") from None
        else:
            return listening
    raise AssertionError("port 0 is always free")
