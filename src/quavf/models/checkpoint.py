"""Checkpoints: own safetensors files in and out, and published ones in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from quavf.core.branches import branch_specs
from quavf.core.errors import CheckpointError, ConfigError
from quavf.models.branch import BranchNetwork, fill_network
from quavf.models.description import (
    EXPORT_SUFFIXES,
    METADATA_KEY,
    PublishedOptions,
    check_options,
    checkpoint_file,
    checkpoint_info,
    describe,
    is_plain,
    is_safetensors,
    read_description,
)
from quavf.models.published import published_state, strip_wrappers
from quavf.models.tensors import read_weights
from quavf.utils.files import replace_file


def load_branch(
    path: Path | str,
    *,
    encoder_heads: int | None = None,
    n_heads: int | None = None,
    backbone: str | None = None,
) -> BranchNetwork:
    """Load a branch from any checkpoint: a torch module in eval mode, on the CPU.

    `path` is a `.safetensors` file of this package or a training run's folder, which need nothing
    else, or a published checkpoint (a pickle with the weights under `model`). For that one,
    `encoder_heads`, `n_heads` and `backbone` say what its shapes do not (see `PublishedOptions`).

    Audio: `module(mel)` with mel (B, 80, 3000) -> logits (B, 2, 900). Visual: `module(crops,
    quality)` with crops (B, 15, 3, H, W) normalised, quality (B,) -> logits (B, 2).

    Raises CheckpointError if the file is missing, is not a checkpoint, is unsafe, or does not fit.
    """
    options = PublishedOptions(encoder_heads, n_heads, backbone)
    file = checkpoint_file(path)
    if not file.is_file():
        raise CheckpointError(
            f"{file}: no such file; give a checkpoint, or the folder of a training run"
        )
    if file.suffix in EXPORT_SUFFIXES.values():
        raise CheckpointError(
            f"{file}: an exported model, which is for `quavf predict` and `quavf run`; here, give "
            "the checkpoint that it was made of"
        )
    if is_safetensors(file) and not is_plain(file):
        network = _load_own(file)
        check_options(file, network.config, options)
        return network
    return _load_published(file, options)


def save_branch(path: Path, branch: BranchNetwork, info: dict[str, Any] | None = None) -> None:
    """Write weights and configuration as one safetensors file, atomically.

    `info` is JSON-able and stored with them (epoch, validation mAP, ...).
    """
    description = json.dumps(describe(branch, info), sort_keys=True)
    state = {k: v.detach().cpu().contiguous() for k, v in branch.state_dict().items()}
    with replace_file(path) as temporary:
        save_file(state, temporary, {METADATA_KEY: description})


def _load_own(path: Path) -> BranchNetwork:
    spec, config, settings = read_description(path, checkpoint_info(path))
    try:
        network: BranchNetwork = spec.load("network")(config, settings)
    except ConfigError as error:
        raise CheckpointError(f"{path}: damaged configuration ({error})") from None
    return fill_network(path, network, strip_wrappers(path, read_weights(path)))


def _load_published(path: Path, options: PublishedOptions) -> BranchNetwork:
    state = published_state(path)
    try:
        for read in [spec.load("published") for spec in branch_specs() if spec.published]:
            network: BranchNetwork | None = read(path, state, options)
            if network is not None:
                return network
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    raise CheckpointError(f"{path}: its weights are of no known branch")
