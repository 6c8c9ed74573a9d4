"""Libraries of the extra `train`, which most commands do without."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from quavf.core.errors import ConfigError

TRAIN = ("torch", "torchvision", "lightning", "timm", "transformers", "tensorboard", "matplotlib")
INSTALL = "pip install 'quavf[train]'"


def is_installed(library: str) -> bool:
    """Whether a library can be imported; it is not."""
    if library in sys.modules:
        return sys.modules[library] is not None
    try:
        return find_spec(library) is not None
    except ImportError:
        return False


def require_torch(what: str, instead: str = "") -> None:
    """Raise ConfigError unless torch is installed.

    `what` begins the message, as what needs it; `instead` is another way out, after "or".
    """
    if not is_installed("torch"):
        raise missing_library("torch", what, instead)


def missing_library(library: str, what: str, instead: str = "") -> ConfigError:
    """The error for a library of the extra that is not installed."""
    other = f", or {instead}" if instead else ""
    return ConfigError(f"{what} needs {library}, which is not installed: {INSTALL}{other}")


def explain_missing(error: ModuleNotFoundError, what: str) -> ConfigError | None:
    """Explain an import that failed; None if the extra has no such library."""
    library = (error.name or "").partition(".")[0]
    return missing_library(library, what) if library in TRAIN else None
