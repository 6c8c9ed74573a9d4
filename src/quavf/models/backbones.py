"""Pretrained backbones: loaded from a hub or a file, or recognised by a checkpoint's keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from quavf.core.errors import CheckpointError
from quavf.models.branch import check_finite, check_types
from quavf.models.config import AudioConfig, VisualConfig, encoder_shape
from quavf.models.tensors import StateDict, read_weights

HEAD_WIDTH = 64  # of every published Whisper encoder

# Names of an encoder's parts in openai-whisper, and in transformers.
_WHISPER_NAMES = (
    (r"blocks\.(\d+)\.attn\.query\.", r"layers.\1.self_attn.q_proj."),
    (r"blocks\.(\d+)\.attn\.key\.", r"layers.\1.self_attn.k_proj."),
    (r"blocks\.(\d+)\.attn\.value\.", r"layers.\1.self_attn.v_proj."),
    (r"blocks\.(\d+)\.attn\.out\.", r"layers.\1.self_attn.out_proj."),
    (r"blocks\.(\d+)\.attn_ln\.", r"layers.\1.self_attn_layer_norm."),
    (r"blocks\.(\d+)\.mlp\.0\.", r"layers.\1.fc1."),
    (r"blocks\.(\d+)\.mlp\.2\.", r"layers.\1.fc2."),
    (r"blocks\.(\d+)\.mlp_ln\.", r"layers.\1.final_layer_norm."),
    (r"ln_post\.", r"layer_norm."),
    (r"positional_embedding", r"embed_positions.weight"),
)

# Networks that are recognised by a checkpoint's keys, by the start of one of their keys; the
# published system's first. Any other timm network must be named: trying all would take minutes.
_RECOGNISED = {
    "layer4.": (
        "resnet50",
        "test_resnet",
        "resnet18",
        "resnet26",
        "resnet34",
        "resnet101",
        "resnet152",
        "resnet50d",
        "resnext50_32x4d",
        "wide_resnet50_2",
        "seresnet50",
    ),
    "conv_stem.": (
        "test_efficientnet",
        "mobilenetv2_100",
        "mobilenetv3_small_050",
        "mobilenetv3_small_100",
        "mobilenetv3_large_100",
        "efficientnet_b0",
        "efficientnet_b1",
        "efficientnet_b2",
    ),
    "stem.": ("test_convnext", "convnext_atto", "convnext_nano", "convnext_tiny", "convnext_small"),
    "cls_token": (
        "test_vit",
        "vit_tiny_patch16_224",
        "vit_small_patch16_224",
        "vit_base_patch16_224",
    ),
}


def from_openai_whisper(
    state: StateDict, n_heads: int | None
) -> tuple[StateDict, tuple[int, int, int]]:
    """An encoder's weights under transformers' names, and its width, layers and heads."""
    width = state["conv1.weight"].shape[0]
    n_layers = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    renamed: StateDict = {}
    for key, value in state.items():
        for pattern, name in _WHISPER_NAMES:
            key, found = re.subn(f"^{pattern}", name, key)
            if found:
                break
        renamed[key] = value
    return renamed, (width, n_layers, n_heads or max(width // HEAD_WIDTH, 1))


def recognise_backbone(path: Path, image: StateDict, dim: int) -> str:
    """The timm name whose keys and shapes are these. Raises CheckpointError when none is."""
    shapes = {key: tuple(value.shape) for key, value in image.items()}
    starts = [start for start in _RECOGNISED if any(key.startswith(start) for key in shapes)]
    for name in (name for start in starts for name in _RECOGNISED[start]):
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=dim)
        if {key: tuple(value.shape) for key, value in model.state_dict().items()} == shapes:
            return name
    raise CheckpointError(
        f"{path}: its image network is not one that is recognised; name it with --backbone NAME "
        "(a timm name such as resnet50)"
    )


def load_whisper(encoder: nn.Module, config: AudioConfig) -> None:
    """Fill a Whisper encoder from where `encoder_weights` says: hub, random, or a file or folder.

    Raises CheckpointError if the hub cannot be reached or a file does not fit.
    """
    source = config.encoder_weights
    if source == "random":
        return
    state = _hub_whisper(config) if source == "hub" else _whisper_file(Path(source), config)
    where = f"audio.encoder_weights: {source}"
    check_types(where, encoder, state)
    try:
        encoder.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise CheckpointError(f"{where}: does not fit the model ({lines[:300]})") from None
    check_finite(where, encoder)


def load_image_network(
    backbone: nn.Module, last_layers: Sequence[nn.Module], config: VisualConfig
) -> None:
    """Fill an image network from where `backbone_weights` says; `last_layers` may stay random.

    Raises CheckpointError if the hub cannot be reached or a file does not fit.
    """
    source = config.backbone_weights
    if source == "random":
        return
    state = _hub_timm(config) if source == "hub" else _timm_file(Path(source))
    own = backbone.state_dict()
    head = {k for k, v in own.items() if k not in state or state[k].shape != v.shape}
    last = {id(weight) for layer in last_layers for weight in layer.parameters()}
    expected = {key for key, weight in backbone.named_parameters() if id(weight) in last}
    expected |= {key for key in own if key.endswith(".num_batches_tracked")}  # old files lack it
    if not head <= expected:
        raise CheckpointError(
            f"visual.backbone_weights: {source}: does not fit {config.backbone} (for "
            f"example {sorted(head - expected)[0]!r})"
        )
    kept = {k: v for k, v in state.items() if k in own and k not in head}
    where = f"visual.backbone_weights: {source}"
    check_types(where, backbone, kept)
    backbone.load_state_dict(kept, strict=False)
    check_finite(where, backbone)


def _hub_whisper(config: AudioConfig) -> StateDict:
    from transformers import WhisperModel

    name = f"openai/whisper-{config.encoder}"
    try:
        model = WhisperModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise CheckpointError(_offline("audio.encoder_weights", name, error)) from None
    return dict(model.get_encoder().state_dict())


def _hub_timm(config: VisualConfig) -> StateDict:
    try:
        model = timm.create_model(config.backbone, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(_offline("visual.backbone_weights", config.backbone, error)) from None
    return dict(model.state_dict())


def _offline(option: str, name: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
    return (
        f"{option}: {name} cannot be downloaded ({reason}); connect to the internet once, or give "
        f"a file (--{option} FILE), or --{option} random"
    )


def _whisper_file(path: Path, config: AudioConfig) -> StateDict:
    """openai-whisper's .pt, or a transformers folder or safetensors file."""
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(f"audio.encoder_weights: {path}: no such file")
    state = _tensors(read_weights(path), "model_state_dict")
    for prefix in ("model.encoder.", "encoder."):
        inside = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        state = inside or state
    if "conv1.weight" in state and any(key.startswith("blocks.") for key in state):
        state, _ = from_openai_whisper(state, encoder_shape(config.encoder)[2])
    n_layers = encoder_shape(config.encoder)[1]  # of a deeper encoder the first ones
    return {key: value for key, value in state.items() if _layer(key) < n_layers}


def _layer(key: str) -> int:
    """Which layer of a Whisper encoder a weight belongs to; -1: none."""
    found = re.match(r"layers\.(\d+)\.", key)
    return int(found[1]) if found else -1


def _timm_file(path: Path) -> StateDict:
    if not path.is_file():
        raise CheckpointError(f"visual.backbone_weights: {path}: no such file")
    return _tensors(read_weights(path), "state_dict", "model")


def _tensors(content: Any, *names: str) -> StateDict:
    """The weights in a file's content, there or under one of these names; else nothing."""
    for name in names:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        return {}
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
