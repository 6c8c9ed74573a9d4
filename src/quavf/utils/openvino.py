"""Import OpenVINO, an optional library."""

from __future__ import annotations

import sys
from typing import Any

from quavf.core.errors import ConfigError


def openvino() -> Any:
    """The library, imported without the message that it sends to its makers.

    Raises ConfigError when it is not installed.
    """
    blocked = "openvino_telemetry"
    quiet = "openvino" not in sys.modules and blocked not in sys.modules
    if quiet:
        sys.modules[blocked] = None  # type: ignore[assignment]  # its import fails; it has a stub
    try:
        import openvino as library
    except ImportError as error:
        raise ConfigError(
            f"runtime: openvino cannot be imported ({error}); pip install 'quavf[openvino]'"
        ) from None
    finally:
        if quiet:
            del sys.modules[blocked]
    return library
