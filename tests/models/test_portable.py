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
