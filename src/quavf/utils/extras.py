"""Libraries that an extra of the package brings."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from quavf.core.errors import ConfigError

# Of the extra `train`, by the names that are imported.
TRAIN = ("torch", "torchvision", "lightning", "timm", "transformers", "tensorboard")


def has_torch() -> bool:
    """Whether the extra `train` is installed; nothing is imported."""
    return "torch" in sys.modules or find_spec("torch") is not None


def require_torch(what: str, instead: str = "") -> None:
    """Raise ConfigError unless torch is installed.

    `what` needs it, in a sentence's beginning; `instead` is another way out, after "or".
    """
    if not has_torch():
        raise missing_train("torch", what, instead)


def missing_train(library: str, what: str, instead: str = "") -> ConfigError:
    """The error for a library of the extra `train` that is not installed."""
    other = f", or {instead}" if instead else ""
    return ConfigError(
        f"{what} needs {library}, which is not installed: pip install 'quavf[train]'{other}"
    )
