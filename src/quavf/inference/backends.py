"""Graphs run by ONNX Runtime or OpenVINO: arrays in and out.

Both use `threads` of the configuration; 0: `OMP_NUM_THREADS`, else one a core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from quavf.core.errors import CheckpointError, ConfigError
from quavf.core.records import Array
from quavf.inference.config import InferenceConfig, no_bf16
from quavf.models.description import METADATA_KEY, reason
from quavf.utils.onnxruntime import onnxruntime
from quavf.utils.openvino import openvino
from quavf.utils.threads import count_threads


class Backend(Protocol):
    """A graph ready to run: arrays in, one for each input, and its only output back."""

    def __call__(self, *inputs: Array) -> Array: ...


class OnnxBackend:
    """An ONNX file in ONNX Runtime, fp32. Raises CheckpointError when it cannot be read.

    `weights` are those of a graph that holds none itself, by name: contiguous arrays. The network
    sees `rows` rows of its inputs at once; 0: all.
    """

    def __init__(
        self,
        path: Path,
        config: InferenceConfig,
        weights: Mapping[str, Array] | None = None,
        rows: int = 0,
    ) -> None:
        self._rows = rows
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions too
        options.intra_op_num_threads = config.threads or count_threads()
        options.enable_cpu_mem_arena = False  # it would keep 300 MB, and saves no time
        # Threads that wait in a loop for the next few operations take other threads' time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            if weights:
                values = [runtime.OrtValue.ortvalue_from_numpy(w) for w in weights.values()]
                options.add_external_initializers(list(weights), values)
            self._session: Any = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common class of their own
            raise unreadable_model(path, error) from None
        self.inputs = [value.name for value in self._session.get_inputs()]

    @property
    def metadata(self) -> Mapping[str, str]:
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def __call__(self, *inputs: Array) -> Array:
        n = len(inputs[0])
        if not self._rows or n <= self._rows:
            return self._run(inputs)
        starts = range(0, n, self._rows)
        return np.concatenate(
            [self._run([part[i : i + self._rows] for part in inputs]) for i in starts]
        )

    def _run(self, inputs: Sequence[Array]) -> Array:
        found: Array = self._session.run(None, dict(zip(self.inputs, inputs, strict=True)))[0]
        return found


class OpenVinoBackend:
    """An OpenVINO model compiled for this CPU in fp32 or bf16; inputs and output are fp32."""

    def __init__(self, model: Any, config: InferenceConfig) -> None:
        core = openvino().Core()
        if config.precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise no_bf16("CPU")
        settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[config.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": config.threads or count_threads(),
        }
        self._compiled = core.compile_model(model, "CPU", settings)
        self.inputs = [value.any_name for value in self._compiled.inputs]

    def __call__(self, *inputs: Array) -> Array:
        contiguous = [np.ascontiguousarray(x) for x in inputs]
        found: Array = self._compiled(contiguous, share_inputs=True)[0]
        return found


def read_openvino(path: Path) -> tuple[Any, Mapping[str, str]]:
    """The model of an .xml (with its .bin) or .onnx file, and its metadata.

    Raises CheckpointError if it cannot be read.
    """
    try:
        model = openvino().Core().read_model(path)
    except RuntimeError as error:
        raise unreadable_model(path, error) from None
    where = ["framework", METADATA_KEY] if path.suffix == ".onnx" else [METADATA_KEY]
    found = {METADATA_KEY: str(model.get_rt_info(where).value)} if model.has_rt_info(where) else {}
    return model, found


def open_graph(path: Path, config: InferenceConfig) -> tuple[Backend, list[str], Mapping[str, str]]:
    """Open an exported graph: ready to run, with the names of its inputs and its metadata.

    Raises CheckpointError for a file that cannot be read, ConfigError for a runtime that cannot
    run it.
    """
    config.require_cpu(str(path))
    if config.runtime == "torch":
        raise ConfigError(f"runtime: torch cannot run the exported {path}; leave --runtime out")
    if path.suffix == ".xml" and config.runtime == "onnx":
        raise ConfigError(f"runtime: onnx cannot run the OpenVINO model {path}; leave it out")
    if path.suffix == ".xml" or config.runtime == "openvino":
        model, metadata = read_openvino(path)
        backend = OpenVinoBackend(model, config)
        return backend, backend.inputs, metadata
    if config.precision != "fp32":
        raise ConfigError(f"precision: {path} runs in {config.precision} with --runtime openvino")
    session = OnnxBackend(path, config)
    return session, session.inputs, session.metadata


def unreadable_model(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: not a readable model ({reason(error)}); export it again with `quavf export`"
    )
