"""Open the perception networks that come with the package (`networks/NOTICE.md`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from quavf.core.records import Array
from quavf.utils.onnxruntime import onnxruntime
from quavf.utils.openvino import openvino

FOLDER = Path(__file__).parent / "networks"

Network = Callable[[dict[str, Array]], list[Array]]
"""Outputs of a network, in their order, from its inputs by name."""


def open_network(name: str, threads: int, runtime: str = "auto") -> Network:
    """Open a network that keeps to `threads`.

    `runtime`: openvino, or ONNX Runtime for any other. Raises ConfigError if OpenVINO is not
    installed.
    """
    path = str(FOLDER / f"{name}.onnx")
    return _open_openvino(path, threads) if runtime == "openvino" else _open_onnx(path, threads)


def _open_onnx(path: str, threads: int) -> Network:
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait in a loop for the next few operations take the other core's time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Array]) -> list[Array]:
        return list(session.run(None, inputs))

    return run


def _open_openvino(path: str, threads: int) -> Network:
    core = openvino().Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    model: Any = core.compile_model(core.read_model(path), "CPU", settings)

    def run(inputs: dict[str, Array]) -> list[Array]:
        # A request of its own: several threads may run the network at once.
        found = model.create_infer_request().infer(inputs)
        return [found[output] for output in model.outputs]

    return run
