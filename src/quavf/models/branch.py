"""What the networks of all branches have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import nn

from quavf.core.errors import CheckpointError
from quavf.models.config import BranchSettings
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


Network = TypeVar("Network", bound=BranchNetwork)


def fill_network(path: Path, network: Network, state: StateDict) -> Network:
    """The network in eval mode with these weights, all of them used.

    Raises CheckpointError that names the file if they do not fit.
    """
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CheckpointError(
            f"{path}: does not fit the model ({'; '.join(lines)[:300]}); check the options that "
            "name its architecture"
        ) from None
    network.eval()
    return network
