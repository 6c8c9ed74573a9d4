"""Checkpoints: own safetensors files in and out, and published ones in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from quavf.core.branches import BRANCHES, BranchSpec, branch_names, branch_specs
from quavf.core.config import from_dict, to_dict
from quavf.core.errors import CheckpointError, ConfigError
from quavf.core.version import __version__
from quavf.models.branch import BranchNetwork, fill_network
from quavf.models.config import BranchSettings
from quavf.models.published import HEAD, PublishedOptions, published_state, strip_wrappers
from quavf.models.tensors import is_safetensors, read_weights, reason
from quavf.utils.files import replace_file

FORMAT = 1
METADATA_KEY = "quavf"
BEST = "best.safetensors"  # the checkpoint that a training run's folder stands for
EXPORT_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}  # of exported models, by format


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

    Raises CheckpointError if the file is missing, is no checkpoint, is unsafe, or does not fit.
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


def checkpoint_file(path: Path | str) -> Path:
    """The file that a checkpoint's path, or the folder of a training run, stands for."""
    return Path(path) / BEST if Path(path).is_dir() else Path(path)


def save_branch(path: Path, branch: BranchNetwork, info: dict[str, Any] | None = None) -> None:
    """Write weights and configuration as one safetensors file, atomically.

    `info` is JSON-able and stored with them (epoch, validation mAP, ...).
    """
    description = json.dumps(describe(branch, info), sort_keys=True)
    state = {k: v.detach().cpu().contiguous() for k, v in branch.state_dict().items()}
    with replace_file(path) as temporary:
        save_file(state, temporary, {METADATA_KEY: description})


def describe(network: BranchNetwork, info: dict[str, Any] | None = None) -> dict[str, Any]:
    """The description that is stored with a branch's weights, JSON-able."""
    return {
        "format": FORMAT,
        "branch": network.name,
        "config": to_dict(network.config),
        "settings": to_dict(network.settings),
        "info": info or {},
        "quavf_version": __version__,
    }


def is_plain(path: Path) -> bool:
    """Whether a safetensors file holds the published system's weights, without a description."""
    try:
        with safe_open(path, "pt") as file:
            described = METADATA_KEY in (file.metadata() or {})
            return not described and any(HEAD in key for key in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def checkpoint_info(path: Path) -> dict[str, Any]:
    """The description that `save_branch` stored. Raises CheckpointError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return dict(json.loads(metadata[METADATA_KEY]))
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of this package ({reason(error)}); expected one that "
            "`quavf train` or `save_branch` wrote, or weights under the published names; download "
            "it again, or give another file"
        ) from None


def read_description(
    path: Path, description: dict[str, Any]
) -> tuple[BranchSpec, Any, BranchSettings]:
    """The branch, configuration and settings that `describe` wrote. Raises CheckpointError."""
    if description.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {description.get('format')}, this version reads {FORMAT}"
        )
    name = description.get("branch")
    if not isinstance(name, str) or name not in branch_names():
        raise CheckpointError(
            f"{path}: branch {name!r} is not one of {', '.join(branch_names())}; install or "
            "register the plug-in that it needs"
        )
    spec = BRANCHES.get(name)
    try:
        config = from_dict(spec.load("model_config"), description["config"])
        return spec, config, from_dict(BranchSettings, description["settings"])
    except (ConfigError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged configuration ({error})") from None


def check_options(path: Path, config: Any, options: PublishedOptions) -> None:
    """Raise CheckpointError if options contradict the configuration that a file states itself."""
    for name, value in vars(options).items():
        stated = getattr(config, name, None)
        if value is not None and stated is not None and value != stated:
            raise CheckpointError(
                f"{path}: was trained with {name} {stated}, not {value}; leave that option out"
            )


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
