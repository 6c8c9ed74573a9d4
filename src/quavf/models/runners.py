"""Networks that torch runs with arrays in and out, as predictors call them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quavf.core.records import Array, Floats

Network = Callable[[Tensor], Tensor]


class TorchRunner:
    """Base of what `BranchNetwork.run_on` makes; `quavf.inference.remote` has the interfaces.

    `run` is another form of the network's costly part.
    """

    def __init__(self, network: Any, device: str, run: Network | None = None) -> None:
        self.network, self.device, self.run = network, device, run
        self.config, self.settings = network.config, network.settings


def to_scores(logits: Tensor) -> Floats:
    """logits (B, 2, ...) -> probabilities (B, ...) of the second class."""
    return np.asarray(logits.float().softmax(dim=1)[:, 1].cpu().numpy(), float)


def run_in_bf16(network: nn.Module) -> Network:
    """A copy of a network in bf16, fp32 in and out: autocast would convert weights in each pass."""
    copied = copy.deepcopy(network).to(torch.bfloat16)

    def run(x: Tensor) -> Tensor:
        found: Tensor = copied(x.to(torch.bfloat16))
        return found.float()

    return run


def take_arrays(network: nn.Module) -> Callable[..., Array]:
    """A network on the CPU with arrays in and out."""

    @torch.inference_mode()
    def run(*inputs: Array) -> Array:
        return to_array(network(*(torch.from_numpy(x) for x in inputs)))

    return run


def take_tensors(run: Callable[..., Array]) -> Network:
    """A function of arrays, with tensors on the CPU in and out."""

    def call(x: Tensor) -> Tensor:
        return torch.from_numpy(run(x.contiguous().numpy()))

    return call


def to_array(x: Tensor) -> Floats:
    """As float32 on the CPU."""
    return np.asarray(x.float().cpu().numpy())
