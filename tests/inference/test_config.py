"""Options of inference: impossible values are refused, in all commands alike."""

from __future__ import annotations

from typing import Any

import pytest

from quavf.core.errors import ConfigError
from quavf.inference.config import InferenceConfig, PredictConfig
from quavf.workflows.config import RunConfig


@pytest.mark.parametrize("config", [InferenceConfig, PredictConfig, RunConfig])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runtime": "tensorrt"}, "runtime: 'tensorrt' is not one of auto, torch, onnx, openvino"),
        ({"precision": "int4"}, "precision: 'int4' is not one of fp32, bf16"),
        ({"threads": -1}, "threads: -1 is under 0; use 0 for one per core"),
        ({"batch_size": 0}, "batch_size: 0 is under 1"),
        ({"audio_batch_size": 0}, "audio_batch_size: 0 is under 1"),
        ({"runtime": "openvino", "device": "cuda:1"}, "runs on the CPU, not on cuda:1"),
    ],
)
def test_impossible_values(config: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**values)


def test_batch_sizes_of_the_commands() -> None:
    assert (PredictConfig().batch_size, PredictConfig().audio_batch_size) == (64, 4)
    assert (RunConfig().batch_size, RunConfig().audio_batch_size) == (32, 1)


def test_own_options_come_first_and_those_of_inference_by_name() -> None:
    assert PredictConfig("val", "light").quality == "light"
    assert RunConfig("a.onnx", "v.onnx").branches == {"audio": "a.onnx", "visual": "v.onnx"}
    with pytest.raises(TypeError, match="positional"):
        InferenceConfig("torch")  # type: ignore[call-arg]
