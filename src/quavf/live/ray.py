"""The live server on Ray Serve: sessions spread over replicas, which come and go with them.

    serve run quavf.live.ray:app
    serve run quavf.live.ray:build sessions=2 most_replicas=16 weights=talk

The token comes from the environment variable QUAVF_TOKEN. See docs/guide/serve.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ray import serve

from quavf.core.errors import ConfigError
from quavf.live.serve.app import LiveApp
from quavf.live.serve.config import ServeConfig
from quavf.live.serve.pool import SESSIONS
from quavf.live.serve.processes import Loader

TOKEN = "QUAVF_TOKEN"
PAGES = 8  # requests of a replica beside its sessions: pages, checks of its health
DRAIN_S = 60.0  # that sessions of a replica that is taken away may go on
FULLNESS = 0.75  # of a replica's sessions, on average, before another replica starts


@dataclass(frozen=True)
class ReplicasConfig:
    """How sessions are spread.

    Args:
        weights: Weights with a cues branch.
        sessions: Sessions of one replica, each in a process of its own.
        replicas: Replicas that are always there.
        most_replicas: Replicas at most.
        cpus: Cores that a replica reserves.
        upscale_s: Seconds of more sessions than fit well before a replica is added.
        origins: Web origins whose pages may connect, apart from the server's own; with commas.
        place: What opens sessions, as `module:function`.
    """

    weights: str = "talk"
    sessions: int = 4
    replicas: int = 1
    most_replicas: int = 8
    cpus: float = 2.0
    upscale_s: float = 5.0
    origins: str = ""
    place: str = SESSIONS


def build(options: Mapping[str, Any]) -> serve.Application:
    """The application with options given as `NAME=VALUE`. Raises ConfigError for unknown ones."""
    kinds: dict[str, Any] = {"int": int, "float": float, "str": str}
    known = {field.name: kinds[str(field.type)] for field in fields(ReplicasConfig)}
    for name, value in options.items():
        if name not in known:
            raise ConfigError(f"{name}: no such option; known are {', '.join(known)}")
        try:
            known[name](value)
        except ValueError as error:
            raise ConfigError(f"{name}: {value!r} is not a number") from error
    return _deploy(ReplicasConfig(**{n: known[n](value) for n, value in options.items()}))


def _deploy(config: ReplicasConfig) -> serve.Application:
    server = ServeConfig(
        sessions=config.sessions,
        token=os.environ.get(TOKEN),
        origins=tuple(filter(None, config.origins.split(","))),
    )
    options = {"weights": config.weights} if config.place == SESSIONS else {}
    loader = Loader(config.place, options)

    def make_app() -> LiveApp:
        return LiveApp(loader, server)

    @serve.deployment(
        name="live",
        max_ongoing_requests=config.sessions + PAGES,
        graceful_shutdown_timeout_s=DRAIN_S,
        ray_actor_options={"num_cpus": config.cpus},
        autoscaling_config={
            "min_replicas": config.replicas,
            "initial_replicas": config.replicas,
            "max_replicas": max(config.replicas, config.most_replicas),
            "target_ongoing_requests": FULLNESS * config.sessions,
            "upscale_delay_s": config.upscale_s,
            "downscale_delay_s": 600.0,
        },
    )
    @serve.ingress(make_app)
    class Live:
        """One replica: a live server with a pool of processes."""

    bound: serve.Application = Live.bind()  # type: ignore[attr-defined]
    return bound


app = build({})
