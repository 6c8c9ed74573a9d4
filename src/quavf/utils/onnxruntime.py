"""Import ONNX Runtime."""

from __future__ import annotations

import os
from typing import Any

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"  # read when the library is imported


def onnxruntime() -> Any:
    """The library, imported without its telemetry.

    Version 1.32, for one, would keep an identifier and events in the user's cache folder, and send
    them to its makers from threads of its own. Whoever wants that sets `ORT_DISABLE_TELEMETRY=0`.
    """
    os.environ.setdefault(TELEMETRY_OFF, "1")
    import onnxruntime as library

    return library
