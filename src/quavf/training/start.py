"""Training that starts from a whole checkpoint instead of a pretrained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quavf.core.config import to_dict
from quavf.core.errors import ConfigError
from quavf.models.bundled import weights_path
from quavf.models.checkpoint import Branch, branch_kind, load_branch

# Settings of a model that may change when training starts from its weights.
FREE = ("encoder_weights", "backbone_weights", "size", "frozen", "frozen_stages", "dropout")


def start_from(branch: Branch, checkpoint: Path | str) -> None:
    """Fill a branch with every weight of a checkpoint; its own configuration stays.

    `checkpoint` is what `load_branch` takes, or the name of weights that come with the package.
    Raises CheckpointError as `load_branch`, and ConfigError naming the setting when they are built
    otherwise.
    """
    kind = branch_kind(branch)
    source = load_branch(weights_path(checkpoint, kind))
    if branch_kind(source) != kind:
        raise ConfigError(
            f"start: {checkpoint} is a checkpoint of the {branch_kind(source)} branch; give one of "
            f"the {kind} branch"
        )
    ours = _build(branch)
    other = {name: value for name, value in _build(source).items() if ours[name] != value}
    if other:
        name, value = next(iter(other.items()))
        options = " ".join(f"--{name} {value}" for name, value in other.items())
        raise ConfigError(
            f"{name}: {ours[name]!r}, but {checkpoint} was trained with {value!r}; set {options}, "
            "or leave --start out"
        )
    branch.load_state_dict(source.state_dict())


def _build(branch: Branch) -> dict[str, Any]:
    """What decides the shape or the meaning of a branch's weights, by the options' names."""
    kind = branch_kind(branch)
    found = {f"{kind}.{k}": v for k, v in to_dict(branch.config).items() if k not in FREE}
    if kind == "visual":
        found["windows.n_slots"] = branch.settings.windows.n_slots
    return found
