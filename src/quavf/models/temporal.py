"""The temporal module that both branches share (QuAVF, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TemporalModule(nn.Module):
    """A class token and learned positions, then one bare multi-head attention.

    No residual, no norm, no feed-forward. `position` row 0 is the class token, to which nothing is
    added; rows 1..T are added to the T inputs.
    """

    def __init__(self, length: int, dim: int, n_heads: int) -> None:
        super().__init__()
        self.position = nn.Embedding(length + 1, dim)
        self.attention = nn.MultiheadAttention(dim, n_heads, batch_first=True)

    def forward(self, x: Tensor, n_wanted: int | None = None) -> Tensor:
        """x (B, T, D) -> (B, 1 + T, D), the class token's output first; or the first `n_wanted`."""
        token = self.position.weight[:1].expand(len(x), 1, -1)  # (B, 1, D)
        x = torch.cat([token, x + self.position.weight[1:]], dim=1)  # (B, 1 + T, D)
        asking = x if n_wanted is None else x[:, :n_wanted]
        return self.attention(asking, x, x, need_weights=False)[0]  # type: ignore[no-any-return]
