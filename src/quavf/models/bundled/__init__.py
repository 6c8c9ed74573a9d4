"""Weights that come with the package, one bundle a folder, and the choice among weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from quavf.core.branches import branch_names
from quavf.core.errors import CheckpointError, ConfigError
from quavf.models.bundle import BUNDLE_FILE, Bundle, read_bundle
from quavf.models.hub import fetch_bundle, is_hub_reference
from quavf.results.fusion import PUBLISHED

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
DEFAULT = "talk"


def weights_names() -> tuple[str, ...]:
    """Names of the weights that come with the package, sorted."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{BUNDLE_FILE}")))


def load_bundle(weights: Path | str = DEFAULT) -> Bundle:
    """The bundle of that name, in that folder, or on the Hub (`hf://owner/name[@revision]`).

    For a folder of the name of weights write `./small`. Raises CheckpointError if there is none, or
    it cannot be read.
    """
    if is_hub_reference(weights):
        return read_bundle(fetch_bundle(str(weights)))
    folder = FOLDER / str(weights) if str(weights) in weights_names() else Path(weights)
    if not folder.is_dir():
        raise CheckpointError(
            f"{weights}: no such folder, and no weights of that name come with the package (there "
            f"are: {', '.join(weights_names()) or 'none'})"
        )
    return read_bundle(folder)


def weights_path(checkpoint: Path | str, branch: str) -> Path:
    """The checkpoint of one branch, by the name of bundled weights, on the Hub, or its path.

    Raises CheckpointError if the weights of that name lack the branch.
    """
    if str(checkpoint) not in weights_names() and not is_hub_reference(checkpoint):
        return Path(checkpoint)
    bundle = load_bundle(checkpoint)
    if branch not in bundle.branches:
        raise CheckpointError(
            f"--{branch} {checkpoint}: these weights have no {branch} branch, only "
            f"{', '.join(bundle.branches)}; leave the option out"
        )
    return bundle.branches[branch]


def choose_bundle(
    weights: Path | str | None, branches: Mapping[str, Path | str | None], command: str
) -> Bundle:
    """The weights to use: a bundle, with the checkpoints that `branches` names instead of its own.

    `branches` maps a branch to a checkpoint, to an empty text to leave it out, or to None for what
    the bundle has. Without `weights`, checkpoints are used alone; if there are none, they change
    the default bundle. Raises ConfigError, which names the command, if no branch remains.
    """
    if unknown := sorted(set(branches) - set(branch_names())):
        raise ConfigError(
            f"{command}: no branch {unknown[0]!r}; there are {', '.join(branch_names())}"
        )
    given = {
        name: weights_path(checkpoint, name) if str(checkpoint) else None
        for name, checkpoint in branches.items()
        if checkpoint is not None
    }
    alone = weights is None and any(given.values())
    base = Bundle("", {}) if alone else load_bundle(DEFAULT if weights is None else weights)
    chosen = base.change(given)
    if not chosen.branches:
        options = ", ".join(f"--{name}" for name in branch_names())
        raise ConfigError(f"{command}: no branch is left; give a checkpoint with {options}")
    if base.fusion != PUBLISHED and chosen.fusion == PUBLISHED:
        log.warning(
            "%s: the fusion of the weights %s was fitted to their own checkpoints; with others, "
            "fused is the published formula, of audio and visual alone. Fit a fusion to yours with "
            "quavf bundle --start %s",
            *(command, base.name, base.name),
        )
    return chosen
