"""Base class of the networks of all branches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from quavf.core.errors import CheckpointError
from quavf.models.config import BranchSettings
from quavf.models.runners import Network
from quavf.models.tensors import StateDict


class BranchNetwork(nn.Module):
    """Base of every branch's network.

    `name` is that of the branch's `BranchSpec`. `config` is the model's configuration, a dataclass
    that can be stored as JSON; `settings` say how its inputs are made.
    """

    name: ClassVar[str]
    config: Any
    settings: BranchSettings
    has_moving_statistics = False  # batch-norm statistics of frozen modules move, as published

    def __init__(self, config: Any, settings: BranchSettings | None = None) -> None:
        super().__init__()
        self.config, self.settings = config, settings or BranchSettings()

    def frozen_modules(self) -> list[nn.Module]:
        """Modules whose weights and statistics training leaves alone."""
        return []

    def load_pretrained(self) -> None:
        """Fill the pretrained parts of a new network, as its configuration says; default: none.

        Raises CheckpointError if a hub cannot be reached or a file does not fit.
        """

    def run_on(self, device: str, run: Network | None = None) -> Any:
        """The callable with which the predictor runs the network on a device; default: the network.

        `run` is another form of the network's costly part.
        """
        return self.to(device)


Branch = TypeVar("Branch", bound=BranchNetwork)


def fill_network(path: Path, network: Branch, state: StateDict) -> Branch:
    """The network in eval mode with these weights, all of them used.

    Raises CheckpointError that names the file if they do not fit, are of another type, or are not
    finite.
    """
    check_types(path, network, state)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CheckpointError(
            f"{path}: does not fit the model ({'; '.join(lines)[:300]}); check the options that "
            "name its architecture"
        ) from None
    check_finite(path, network)
    network.eval()
    return network


def check_types(path: object, network: nn.Module, state: StateDict) -> None:
    """Raise CheckpointError for weights that are not plain numbers of their kind."""
    own = network.state_dict()
    for key, value in state.items():
        expected = own.get(key)
        if expected is None:
            continue
        plain = value.layout == torch.strided and not value.is_quantized
        plain = plain and (expected.is_meta or not value.is_meta)
        if not plain or _kind(value) != _kind(expected):
            found = str(value.dtype if plain else value.layout).removeprefix("torch.")
            raise CheckpointError(
                f"{path}: the weight {key!r} is of type {found}, expected "
                f"{_kind(expected)}; save the weights of the trained model as they are"
            )


def check_finite(path: object, network: nn.Module) -> None:
    """Raise CheckpointError for weights that are NaN or infinite."""
    for key, value in network.state_dict().items():
        if value.is_meta or not value.is_floating_point():
            continue
        if not bool(torch.isfinite(value).all()):
            n_bad = int((~torch.isfinite(value)).sum())
            raise CheckpointError(
                f"{path}: the weight {key!r} has {n_bad} values of {value.numel()} that are NaN or "
                "infinite: the training went wrong, or the file is damaged; give an earlier "
                "checkpoint"
            )


def _kind(value: Tensor) -> str:
    if value.is_complex():
        return "complex"
    if value.is_floating_point():
        return "float"
    return "bool" if value.dtype == torch.bool else "int"
