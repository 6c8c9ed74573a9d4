"""Open the perception networks that come with the package (`networks/NOTICE.md`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "networks"


def open_network(name: str, threads: int) -> Any:
    """Return an ONNX Runtime session that keeps to `threads` and never waits in a loop."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(FOLDER / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
    )
