"""Checkpoints on ONNX Runtime, without torch: the same scores, and clear words for bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from quavf.core.errors import CheckpointError, ConfigError
from quavf.inference.config import InferenceConfig
from quavf.inference.export import measure_parity
from quavf.inference.loading import load_model
from quavf.inference.remote import RemoteAudio, RemoteCues, RemoteVisual
from quavf.models.bundled import FOLDER, load_bundle
from quavf.models.checkpoint import load_branch, save_branch
from quavf.models.description import METADATA_KEY, checkpoint_info
from quavf.models.portable import GRAPHS, find_graphs
from quavf.utils.onnxruntime import onnxruntime
from tests.helpers.published import tiny_audio

CPU = InferenceConfig(device="cpu")
REMOTE = {"audio": RemoteAudio, "visual": RemoteVisual, "cues": RemoteCues}
MEGABYTES = 25  # of all weights in the package


@pytest.mark.parametrize(("name", "path"), load_bundle("talk").branches.items())
def test_weights_of_the_package_need_no_torch(name: str, path: Path) -> None:
    spec, model = load_model(path, CPU)
    assert spec.name == name
    assert isinstance(model, REMOTE[name])
    assert measure_parity(load_branch(path), model) <= 1e-5


def test_all_weights_stay_small() -> None:
    files = [file for ending in ("safetensors", "onnx") for file in FOLDER.rglob(f"*.{ending}")]
    files += (FOLDER.parents[1] / "cues" / "networks").glob("*.onnx")
    assert sum(file.stat().st_size for file in files) < MEGABYTES * 1e6
    assert sum(file.stat().st_size for file in GRAPHS.iterdir()) < 0.5e6


def test_graphs_tell_nothing_of_this_machine() -> None:
    for file in GRAPHS.glob("*.onnx"):
        assert b"site-packages" not in file.read_bytes(), file


def test_image_network_runs_in_the_fast_layout(tmp_path: Path) -> None:
    """Every convolution, with its normalisation and activation inside: three times as fast."""
    import onnx

    checkpoint = find_graphs(load_bundle("small").branches["visual"])
    assert checkpoint is not None
    weights = checkpoint.read_weights("")
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    values = [runtime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    runtime.InferenceSession(
        str(checkpoint.graphs[""]), options, providers=["CPUExecutionProvider"]
    )
    nodes = onnx.load(tmp_path / "optimised.onnx").graph.node
    assert {n.domain for n in nodes if n.op_type == "Conv"} == {"com.microsoft.nchwc"}
    assert not {"BatchNormalization", "Clip", "CastLike"} & {n.op_type for n in nodes}


def test_crops_are_encoded_a_few_at_a_time() -> None:
    """More than fit the cache are split, and come back in their order."""
    rng = np.random.default_rng(0)
    visual: Any = load_model(load_bundle("small").branches["visual"], CPU)[1]
    crops = visual.stack(list(rng.integers(0, 256, (19, 224, 224, 3), dtype=np.uint8)), None)
    alone = np.concatenate([visual.encode(crop[None]) for crop in crops])
    np.testing.assert_allclose(visual.encode(crops), alone, atol=1e-5)


def test_a_runtime_can_be_asked_for(tmp_path: Path) -> None:
    cues = load_bundle("talk").branches["cues"]
    assert not isinstance(load_model(cues, InferenceConfig(runtime="torch"))[1], RemoteCues)
    assert isinstance(load_model(cues, InferenceConfig(runtime="onnx"))[1], RemoteCues)
    save_branch(tmp_path / "own.safetensors", tiny_audio())
    assert find_graphs(tmp_path / "own.safetensors") is None
    with pytest.raises(ConfigError, match=r"no graph for .*own.safetensors; export it"):
        load_model(tmp_path / "own.safetensors", InferenceConfig(runtime="onnx"))
    with pytest.raises(ConfigError, match="in fp32 only"):
        load_model(cues, InferenceConfig(runtime="onnx", precision="bf16"))
    with pytest.raises(ConfigError, match="onnx runs on the CPU, not on cuda"):
        InferenceConfig(runtime="onnx", device="cuda")


def test_other_weights_of_the_same_architecture(tmp_path: Path) -> None:
    """Trained differently, and stored in another precision."""
    path = load_bundle("talk").branches["cues"]
    branch: Any = load_branch(path)
    torch.manual_seed(0)
    for weight in branch.parameters():
        weight.data += 0.01 * torch.randn_like(weight)
    save_branch(tmp_path / "own.safetensors", branch)
    found = load_model(tmp_path / "own.safetensors", CPU)[1]
    assert isinstance(found, RemoteCues)
    assert measure_parity(branch, found) <= 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state | {"rule_scale": np.full(3, np.nan, np.float32)}, "'rule_scale' has"),
        (lambda state: state | {"rule_scale": np.ones(3, np.int32)}, "'rule_scale' has"),
        (lambda state: {k: v for k, v in state.items() if k != "rule_scale"}, "damaged"),
        (lambda state: state | {"rule_scale": np.ones(5, np.float32)}, "do not fit its"),
    ],
)
def test_damaged_weights(change: Any, message: str, tmp_path: Path) -> None:
    path = load_bundle("talk").branches["cues"]
    with safe_open(path, "np") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    damaged = tmp_path / "cues.safetensors"
    metadata = {METADATA_KEY: json.dumps(checkpoint_info(path))}
    save_file(change(state), damaged, metadata)
    with pytest.raises(CheckpointError, match=f"cues.safetensors: .*{message}"):
        load_model(damaged, CPU)
