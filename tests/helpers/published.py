"""Branches written as the published system writes its checkpoints, under its names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quavf.models.audio import AudioBranch
from quavf.models.branch import BranchNetwork
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.visual import VisualBranch

WHISPER = {  # ours (transformers): theirs (openai-whisper)
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}


def tiny_audio(n_layers: int = 1, seed: int = 0, **options: Any) -> AudioBranch:
    """Whisper of width 16, 1 layer, 2 heads; 2 heads in the temporal attention."""
    torch.manual_seed(seed)
    values: dict[str, Any] = {
        "encoder": "16x1x2",
        "encoder_weights": "random",
        "dim": 16,
        "n_heads": 2,
    } | options
    return AudioBranch(AudioConfig(n_layers=n_layers, **values), BranchSettings("reference")).eval()


def tiny_visual(backbone: str = "test_vit", seed: int = 0, **options: Any) -> VisualBranch:
    torch.manual_seed(seed)
    values: dict[str, Any] = {"backbone_weights": "random", "dim": 16, "n_heads": 2} | options
    config = VisualConfig(backbone=backbone, **values)
    return VisualBranch(config, BranchSettings("reference")).eval()


def published_state(branch: BranchNetwork) -> dict[str, Tensor]:
    """Its weights under the published names; the visual one with the unused `inProj` too."""
    state: dict[str, Tensor] = {}
    for key, value in branch.state_dict().items():
        part, _, rest = key.partition(".")
        if part == "encoder":
            state[f"backbone.{whisper_name(rest)}"] = value
        elif part == "temporal":
            rest = rest.replace("attention.", "attn.").replace("position.", "embed.")
            state[f"temporalModule.{rest}"] = value
        else:
            names = {"project": "inProj.0", "head": "predHead.1", "quality_embedding": "scoreEmbed"}
            state[f"{names.get(part, part)}.{rest}"] = value
    if isinstance(branch, VisualBranch):
        dim = branch.config.dim
        state |= {"inProj.1.weight": torch.ones(dim, dim), "inProj.1.bias": torch.ones(dim)}
    return state


def whisper_name(key: str) -> str:
    """openai-whisper's name of an encoder's weight."""
    if key == "embed_positions.weight":
        return "positional_embedding"
    for ours, theirs in WHISPER.items():
        key = key.replace(f".{ours}.", f".{theirs}.")
    if key.startswith("layer_norm."):
        return key.replace("layer_norm", "ln_post")
    return key.replace("layers.", "blocks.")


def write_published(path: Path, branch: BranchNetwork, prefix: str = "", **content: Any) -> Path:
    """A pickle `{metric, model, optim, epoch, trainIter}`."""
    state = {prefix + key: value for key, value in published_state(branch).items()}
    torch.save(
        {"metric": 0.5, "model": state, "optim": {}, "epoch": 1, "trainIter": 10, **content}, path
    )
    return path
