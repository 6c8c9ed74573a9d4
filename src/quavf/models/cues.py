"""The cues branch: who speaks, looks at me and talks to me, of all people in a clip together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from quavf.core.records import Floats
from quavf.cues.features import N_FACE, N_RULE, N_SOUND, OFFLINE, Features
from quavf.cues.grid import RATE
from quavf.models.branch import BranchNetwork
from quavf.models.config import BranchSettings, CuesConfig
from quavf.models.runners import Network, TorchRunner, to_array

TAPS = 3  # of each convolution over time


@dataclass(frozen=True)
class CueLogits:
    """Logits for P people over T ticks."""

    people: Tensor  # (B, P, T, 4): talks to me, speaks, looks at me, if a turn: it is to me
    wearer: Tensor  # (B, T): the wearer speaks


class Pool(nn.Module):
    """Mean and maximum over the people who are seen, in any order and number."""

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """x (B, P, T, D), seen (B, P, T) -> (B, 1, T, 2 * D); zeros where nobody is seen."""
        mask = seen[..., None].to(x.dtype)  # (B, P, T, 1)
        mean = (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        low = torch.full_like(x, -1e4)
        highest = torch.where(mask > 0, x, low).amax(1, keepdim=True)
        highest = torch.where(highest <= -1e4, torch.zeros_like(highest), highest)
        return torch.cat([mean, highest], dim=-1)


class TimeStack(nn.Module):
    """Dilated convolutions over the past, with all people pooled before each of them."""

    def __init__(self, dim: int, n_layers: int) -> None:
        super().__init__()
        self.pool = Pool()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(n_layers))
        self.mixes = nn.ModuleList(nn.Linear(3 * dim, dim) for _ in range(n_layers))
        self.layers = nn.ModuleList(
            nn.Conv1d(dim, 2 * dim, TAPS, dilation=2**k) for k in range(n_layers)
        )

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """x (B, P, T, D), seen (B, P, T) -> (B, P, T, D), each tick from those up to it."""
        there = seen.any(dim=2)  # (B, P): the others are padding, and cost nothing
        rows = there.nonzero(as_tuple=True)  # clip (N,) and person (N,) of those who are
        for k, norm in enumerate(self.norms):
            even = norm(x)
            pooled = self.pool(even, seen)[:, 0]  # (B, T, 2 * D)
            change = self._step(k, torch.cat([even[rows], pooled[rows[0]]], dim=-1))  # (N, T, D)
            x = x.index_put(rows, x[rows] + change)
        return x

    def run_all(self, x: Tensor, seen: Tensor) -> Tensor:
        """`forward` without padding, in operations whose shapes depend on no value: for graphs.

        x (P, T, D), seen (P, T) -> (P, T, D).
        """
        for k, norm in enumerate(self.norms):
            even = norm(x)
            pooled = self.pool(even[None], seen[None])[0].expand(len(x), -1, -1)  # (P, T, 2 * D)
            x = x + self._step(k, torch.cat([even, pooled], dim=-1))
        return x

    def _step(self, k: int, x: Tensor) -> Tensor:
        """x (N, T, 3 * D) -> the change (N, T, D) that convolution k makes."""
        joined = F.gelu(self.mixes[k](x))  # (N, T, D)
        line = F.pad(joined.transpose(1, 2), ((TAPS - 1) * 2**k, 0))  # (N, D, before + T)
        return F.glu(self.layers[k](line), dim=1).transpose(1, 2)  # (N, T, D)


class CuesBranch(BranchNetwork):
    """Judges each person at each tick by the past, and as much of the future as it may see.

    One stack of convolutions reads forwards. The causal form judges a tick when the stack has read
    the look-ahead beyond it; the offline form judges it at once, and a second stack reads the rest
    of the clip backwards. Both see the cues of everybody at once. The logits of a rule that holds
    for real people are added at the end, so that the network has only the rest to learn.

    The fourth answer takes for granted that the person has the turn, and says only to whom: it
    learns from turns alone, and judges labelled segments.
    """

    name = "cues"
    config: CuesConfig

    def __init__(self, config: CuesConfig, settings: BranchSettings | None = None) -> None:
        super().__init__(config, settings)
        dim = config.dim
        self.face = nn.Sequential(
            nn.Linear(N_FACE + N_SOUND + 1, dim), nn.GELU(), nn.Linear(dim, dim)
        )
        self.past = TimeStack(dim, config.n_layers)
        self.future = TimeStack(dim, config.n_layers)
        self.pool = Pool()
        self.dropout = nn.Dropout(config.dropout)
        self.people_head = nn.Sequential(nn.Linear(7 * dim, dim), nn.GELU(), nn.Linear(dim, N_RULE))
        self.turn_head = nn.Sequential(nn.Linear(7 * dim, dim), nn.GELU(), nn.Linear(dim, 1))
        self.wearer_head = nn.Sequential(
            nn.Linear(4 * dim + N_SOUND, dim), nn.GELU(), nn.Linear(dim, 1)
        )
        self.rule_scale = nn.Parameter(torch.ones(N_RULE))
        if config.frozen:
            self.requires_grad_(False)
            self.turn_head.requires_grad_(True)

    def run_on(self, device: str, run: Network | None = None) -> TorchCues:
        """Arrays in and out, as `quavf.inference.remote.CuesModel`."""
        return TorchCues(self.to(device), device, run)

    @property
    def reach(self) -> int:
        """Ticks that a judgement reaches back, and forward in the offline form."""
        return (TAPS - 1) * ((1 << self.config.n_layers) - 1)

    def forward(
        self, face: Tensor, sound: Tensor, rule: Tensor, seen: Tensor, look_ahead: Tensor
    ) -> CueLogits:
        """Judge P people over T ticks with `look_ahead` (B,) ticks of the future; OFFLINE: all.

        face (B, P, T, N_FACE), sound (B, T, N_SOUND), rule (B, P, T, N_RULE), seen (B, P, T):
        a batch of `quavf.cues.features.Features` that were computed with the same look-ahead.
        """
        x = self._read(face, sound, seen, look_ahead)  # (B, P, T, D)
        past = _shift(self.past(x, seen), look_ahead)  # (B, P, T, D)
        whole = (look_ahead == OFFLINE).nonzero()[:, 0]  # samples that may see the whole clip
        future = torch.zeros_like(past)
        if len(whole):
            back = self.future(x[whole].flip(2), seen[whole].flip(2)).flip(2)  # (.., P, T, D)
            future = future.index_copy(0, whole, back)
        return self._judge(x, past, future, sound, rule, seen)

    def judge_clip(
        self, face: Tensor, sound: Tensor, rule: Tensor, seen: Tensor, look_ahead: Tensor | None
    ) -> Tensor:
        """`forward` for one clip, in operations whose shapes depend on no value: for graphs.

        face (P, T, N_FACE), sound (T, N_SOUND), rule (P, T, N_RULE), seen (P, T), look_ahead (1,)
        or None for OFFLINE -> the logits of the people (P, T, 4).
        """
        n = face.shape[1]
        ticks = torch.full_like(seen[0, :1], OFFLINE, dtype=torch.int64)  # (1,)
        ticks = ticks if look_ahead is None else look_ahead
        x = self._read(face[None], sound[None], seen[None], ticks)[0]  # (P, T, D)
        past = self.past.run_all(x, seen)  # (P, T, D)
        if look_ahead is None:
            future = self.future.run_all(x.flip(1), seen.flip(1)).flip(1)  # (P, T, D)
        else:
            past = past[:, (torch.arange(n) + look_ahead).clamp(max=n - 1)]  # (P, T, D)
            future = torch.zeros_like(past)
        every = (part[None] for part in (x, past, future, sound, rule, seen))
        return self._judge(*every).people[0]

    def _read(self, face: Tensor, sound: Tensor, seen: Tensor, look_ahead: Tensor) -> Tensor:
        """The inputs of `forward` -> what the stacks read (B, P, T, D)."""
        heard = sound[:, None].expand(-1, face.shape[1], -1, -1)  # (B, P, T, N_SOUND)
        horizon = (look_ahead / RATE)[:, None, None, None].expand_as(face[..., :1])
        x: Tensor = self.face(torch.cat([face, heard, horizon], dim=-1))  # (B, P, T, D)
        return x * seen[..., None]

    def _judge(
        self, x: Tensor, past: Tensor, future: Tensor, sound: Tensor, rule: Tensor, seen: Tensor
    ) -> CueLogits:
        """Outputs of the stacks (B, P, T, D) -> logits."""
        both = self.dropout(torch.cat([past, future], dim=-1))  # (B, P, T, 2 * D)
        around = self.pool(both, seen)  # (B, 1, T, 4 * D)
        pooled = around.expand(-1, x.shape[1], -1, -1)
        joined = torch.cat([both, x, pooled], dim=-1)  # (B, P, T, 7 * D)
        people = self.people_head(joined) + self.rule_scale * rule  # (B, P, T, 3)
        people = torch.cat([people, self.turn_head(joined)], dim=-1)  # (B, P, T, 4)
        wearer = self.wearer_head(torch.cat([around[:, 0], sound], dim=-1))[..., 0]  # (B, T)
        return CueLogits(people, wearer)


class TorchCues(TorchRunner):
    """The cues branch in torch."""

    @torch.inference_mode()
    def logits(self, features: Features, look_ahead: int) -> Floats:
        return to_array(self._logits(features, look_ahead))

    @torch.inference_mode()
    def score(self, features: Features, look_ahead: int) -> Floats:
        return to_array(self._logits(features, look_ahead).sigmoid())

    def _logits(self, features: Features, look_ahead: int) -> Tensor:
        parts = features.face, features.sound, features.rule, features.seen
        batch = [torch.from_numpy(part)[None].to(self.device) for part in parts]
        people: Tensor = self.network(*batch, torch.tensor([look_ahead], device=self.device)).people
        return people[0]


def _shift(x: Tensor, ticks: Tensor) -> Tensor:
    """x (B, P, T, D): each tick from `ticks` (B,) later; the last ones from the end."""
    n = x.shape[2]
    rows = torch.arange(n, device=x.device) + ticks.clamp(min=0)[:, None]  # (B, T)
    rows = rows.clamp(max=n - 1)[:, None, :, None]
    return x.gather(2, rows.expand(-1, x.shape[1], -1, x.shape[3]))
