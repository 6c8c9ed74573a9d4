"""Training that starts from a whole checkpoint instead of a pretrained network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from quavf.core.config import to_dict
from quavf.core.errors import ConfigError
from quavf.models.branch import BranchNetwork
from quavf.models.bundled import weights_path
from quavf.models.checkpoint import load_branch

# Settings of a model that may change when training starts from its weights.
FREE = ("encoder_weights", "backbone_weights", "size", "frozen", "frozen_stages", "dropout")


def adopt_settings(config: Any, branch: str) -> Any:
    """A training's configuration with the model of the checkpoint that it starts from.

    Where the configuration says nothing of the model, of its windows or of their context, they are
    the checkpoint's. Raises CheckpointError as `load_branch` does.
    """
    if not config.start:
        return config
    source = load_branch(weights_path(config.start, branch))
    if source.name != branch:
        return config  # `start_from` says so
    found = {branch: source.config}
    found |= {name: getattr(source.settings, name) for name in ("windows", "context")}
    usual = type(config)()
    unsaid = {
        name: value
        for name, value in found.items()
        if hasattr(usual, name) and getattr(config, name) == getattr(usual, name)
    }
    return replace(config, **unsaid)


def start_from(network: BranchNetwork, checkpoint: Path | str) -> None:
    """Fill a network with all weights of a checkpoint; its own configuration stays.

    `checkpoint` is what `load_branch` takes, or the name of weights that come with the package.
    Raises CheckpointError as `load_branch` does, and ConfigError that names the setting if the two
    are built differently.
    """
    source = load_branch(weights_path(checkpoint, network.name))
    if source.name != network.name:
        raise ConfigError(
            f"start: {checkpoint} is a checkpoint of the {source.name} branch; give one of "
            f"the {network.name} branch"
        )
    own = _architecture(network)
    other = {name: value for name, value in _architecture(source).items() if own[name] != value}
    if other:
        name, value = next(iter(other.items()))
        options = " ".join(f"--{name} {value}" for name, value in other.items())
        raise ConfigError(
            f"{name}: {own[name]!r}, but {checkpoint} was trained with {value!r}; set {options}, "
            "or leave --start out"
        )
    network.load_state_dict(source.state_dict())


def _architecture(network: BranchNetwork) -> dict[str, Any]:
    """The settings that decide shape or meaning of a network's weights, by their options' names."""
    config = to_dict(network.config)
    found = {f"{network.name}.{k}": v for k, v in config.items() if k not in FREE}
    return found | {"windows.n_slots": network.settings.windows.n_slots}
