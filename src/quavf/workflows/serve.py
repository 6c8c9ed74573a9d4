"""`quavf serve`: live sessions for browsers and devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from quavf.core.errors import ConfigError
from quavf.live.serve.config import ServeConfig
from quavf.live.serve.pool import SESSIONS
from quavf.live.serve.processes import Loader
from quavf.models.bundled import DEFAULT

if TYPE_CHECKING:
    from quavf.live.session import LiveSession


def serve(
    weights: str = DEFAULT,
    config: ServeConfig | None = None,
    on_start: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the live page and its WebSocket until SIGINT or SIGTERM.

    `on_start` gets the page's address, with the token in it if one is needed. Raises ConfigError
    without quavf[live] and for an address that is taken, EngineError if sessions cannot start.
    """
    try:
        from quavf.live.serve.listen import serve as listen
    except ModuleNotFoundError as error:
        raise ConfigError(f"serve: needs {error.name}; pip install 'quavf[live]'") from error
    listen(Loader(SESSIONS, {"weights": weights}), config or ServeConfig(), on_start)


def open_sessions(weights: str) -> Callable[[float], LiveSession]:
    """Load the networks; what opens a session with a look-ahead. Runs in a session's process."""
    from quavf.workflows.config import RunConfig
    from quavf.workflows.run import Pipeline

    pipeline = Pipeline(RunConfig(weights=weights, causal=True, device="cpu"))
    pipeline.load_live_networks()
    return pipeline.live
