"""The folder of a training run: the settings that it was started with, and how it ended."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quavf.core.errors import ConfigError
from quavf.utils.files import read_json, write_json
from quavf.utils.holding import LOCK, hold_folder

SETTINGS = "config.json"
FINISHED = "training.json"
FREE_OPTIONS = ("workers", "accelerator")  # may differ when a run goes on


@dataclass(frozen=True)
class TrainSummary:
    """How a training run ended."""

    run: str
    branch: str
    samples: int
    positive: int  # labelled frames (audio, cues) or windows (visual)
    negative: int
    epochs: float
    best_map: float | None  # None: there was no validation
    best_epoch: float | None
    stopped_early: bool


@dataclass(frozen=True)
class RunFolder:
    """All processes that train together check the folder; only the leader writes into it."""

    path: Path
    is_leader: bool

    def check(self, settings: dict[str, Any]) -> None:
        """ConfigError when something else is in the folder, or a run with other settings."""
        file = self.path / SETTINGS
        if file.is_file():
            _check_same(file, read_json(file), settings)
        elif self.is_leader and self._has_content():
            raise ConfigError(
                f"{self.path}: is not empty and no training run; choose another --out"
            )

    def hold(self) -> AbstractContextManager[None]:
        """Hold the folder for this run. ConfigError if another process trains in it."""
        return hold_folder(self.path) if self.is_leader else nullcontext()

    def _has_content(self) -> bool:
        return self.path.is_dir() and any(p.name != LOCK for p in self.path.iterdir())

    def claim(self, settings: dict[str, Any]) -> None:
        """Keep the settings: from now on the folder is this run's."""
        if self.is_leader:
            write_json(self.path / SETTINGS, settings)

    def finish(self, summary: TrainSummary) -> None:
        if self.is_leader:
            write_json(self.path / FINISHED, asdict(summary))

    def read_summary(self, epochs: int) -> TrainSummary | None:
        """How the run ended, if it has: after so many epochs, or because it was stopped early."""
        file = self.path / FINISHED
        if not file.is_file():
            return None
        done = TrainSummary(**read_json(file))
        return done if done.epochs >= epochs or done.stopped_early else None


def _check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """ConfigError naming the first setting that a run was started with and that now differs."""
    a, b = dict(_flat(old)), dict(_flat(new))
    for key in sorted(set(a) | set(b)):
        if key.removeprefix("trainer.") in FREE_OPTIONS:
            continue
        if key == "trainer.cache" and bool(a.get(key)) == bool(b.get(key)):
            continue  # it may lie elsewhere; with and without it epochs can differ
        if key == "trainer.epochs" and b[key] >= a.get(key, 0):
            continue
        if a.get(key) != b.get(key):
            what = "the store's content" if key == "store" else f"{key} {a.get(key)!r}"
            now = "" if key == "store" else f", now {b.get(key)!r}"
            raise ConfigError(
                f"{path}: this run was started with other settings ({what}{now}); "
                "choose another --out, or delete the folder to start over"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, list(value) if isinstance(value, tuple) else value))
    return found
