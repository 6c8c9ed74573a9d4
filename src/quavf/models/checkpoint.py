"""Checkpoints in and out: our own safetensors files, and the published pickles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from quavf.core.config import from_dict, to_dict
from quavf.core.errors import CheckpointError, ConfigError
from quavf.core.semantics import REFERENCE
from quavf.core.version import __version__
from quavf.core.windows import WindowConfig
from quavf.models.audio import AudioBranch
from quavf.models.backbones import from_openai_whisper, recognise_backbone
from quavf.models.config import (
    WHISPER_SIZES,
    AudioConfig,
    BranchSettings,
    VisualConfig,
    encoder_shape,
)
from quavf.models.tensors import StateDict, is_safetensors, read_weights, reason
from quavf.models.visual import VisualBranch
from quavf.utils.files import replace_file

FORMAT = 1
METADATA_KEY = "quavf"
BEST = "best.safetensors"  # what a training run's folder stands for
FORMATS = {"onnx": ".onnx", "openvino": ".xml"}  # of exported models, and how their files end
CONFIGS: dict[str, type[AudioConfig] | type[VisualConfig]] = {
    "audio": AudioConfig,
    "visual": VisualConfig,
}

# A published checkpoint's keys; how those of the parts are called is the parts' own business.
PUBLISHED_PARTS = r"backbone\..+|temporalModule\.\d+\.(attn|embed)\..+|predHead\.1\..+"
PUBLISHED_AUDIO = rf"{PUBLISHED_PARTS}|inProj\.0\.(weight|bias)"
# `inProj` is made and not used, and `scoreEmbed` without quality as an input.
PUBLISHED_VISUAL = rf"{PUBLISHED_PARTS}|inProj\.1\.(weight|bias)|scoreEmbed\.weight"

Branch = AudioBranch | VisualBranch


def load_branch(
    path: Path | str,
    *,
    encoder_heads: int | None = None,
    n_heads: int | None = None,
    backbone: str | None = None,
) -> Branch:
    """An audio or visual branch in eval mode, on the CPU, from any checkpoint.

    `path` is our own `.safetensors` file or a training run's folder, which need nothing else, or a
    checkpoint in the published format (a pickle with the weights under `model`). For that one the
    shapes tell the architecture but for: `encoder_heads` of the Whisper encoder (default: one for
    each 64 of its width), `n_heads` of the temporal attention (default: 8) and the image
    `backbone`, a timm name (default: recognised from the keys).

    Audio: `module(mel)` with mel (B, 80, 3000) -> logits (B, 2, 900). Visual: `module(crops,
    quality)` with crops (B, 15, 3, H, W) normalised, quality (B,) -> logits (B, 2).

    Raises CheckpointError when the file is missing, no checkpoint, unsafe, or does not fit.
    """
    file = checkpoint_file(path)
    if not file.is_file():
        raise CheckpointError(
            f"{file}: no such file; give a checkpoint, or the folder of a training run"
        )
    if file.suffix in FORMATS.values():
        raise CheckpointError(
            f"{file}: an exported model, which is for `quavf predict` and `quavf run`; here, give "
            "the checkpoint that it was made of"
        )
    if is_safetensors(file):
        branch = _load_own(file)
        check_agreement(file, branch.config, encoder_heads, n_heads, backbone)
        return branch
    state = _model_state(file)
    try:
        if "backbone.positional_embedding" in state:
            _check_known(file, state, PUBLISHED_AUDIO)
            return _published_audio(file, state, encoder_heads, n_heads or 8)
        _check_known(file, state, PUBLISHED_VISUAL)
        return _published_visual(file, state, n_heads or 8, backbone)
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}") from None


def checkpoint_file(path: Path | str) -> Path:
    """The file that a checkpoint's path, or the folder of a training run, stands for."""
    return Path(path) / BEST if Path(path).is_dir() else Path(path)


def branch_kind(branch: Branch) -> str:
    """`audio` or `visual`."""
    return "audio" if isinstance(branch, AudioBranch) else "visual"


def save_branch(path: Path, branch: Branch, info: dict[str, Any] | None = None) -> None:
    """Write weights and configuration as one safetensors file, atomically.

    `info` is JSON-able and kept beside them (epoch, validation mAP, ...).
    """
    description = json.dumps(describe(branch, info), sort_keys=True)
    state = {k: v.detach().cpu().contiguous() for k, v in branch.state_dict().items()}
    with replace_file(path) as temporary:
        save_file(state, temporary, {METADATA_KEY: description})


def describe(branch: Branch, info: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a file with the branch's weights says of it, JSON-able."""
    return {
        "format": FORMAT,
        "branch": branch_kind(branch),
        "config": to_dict(branch.config),
        "settings": to_dict(branch.settings),
        "info": info or {},
        "quavf_version": __version__,
    }


def checkpoint_info(path: Path) -> dict[str, Any]:
    """What `save_branch` wrote beside the weights. Raises CheckpointError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return dict(json.loads(metadata[METADATA_KEY]))
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of this package ({reason(error)}); train one with "
            "`quavf train`, or download it again"
        ) from None


def _load_own(path: Path) -> Branch:
    config, settings = read_description(path, checkpoint_info(path))
    try:
        return _filled(path, config, settings, read_weights(path))
    except ConfigError as error:
        raise CheckpointError(f"{path}: damaged configuration ({error})") from None


def read_description(
    path: Path, description: dict[str, Any]
) -> tuple[AudioConfig | VisualConfig, BranchSettings]:
    """The configuration and settings that `describe` wrote. Raises CheckpointError."""
    if description.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {description.get('format')}, this version reads {FORMAT}"
        )
    kind = description.get("branch")
    if not isinstance(kind, str) or kind not in CONFIGS:
        raise CheckpointError(f"{path}: branch {kind!r} is not one of {sorted(CONFIGS)}")
    try:
        config: AudioConfig | VisualConfig = from_dict(CONFIGS[kind], description["config"])
        return config, from_dict(BranchSettings, description["settings"])
    except (ConfigError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged configuration ({error})") from None


def check_agreement(
    path: Path,
    config: AudioConfig | VisualConfig,
    encoder_heads: int | None,
    n_heads: int | None,
    backbone: str | None,
) -> None:
    """Our own files tell all by themselves: what is asked for may only repeat it."""
    told: dict[str, Any] = {"n_heads": config.n_heads}
    if isinstance(config, AudioConfig):
        told["encoder_heads"] = encoder_shape(config.encoder)[2]
    else:
        told["backbone"] = config.backbone
    asked = {"encoder_heads": encoder_heads, "n_heads": n_heads, "backbone": backbone}
    for name, value in asked.items():
        if value is not None and name in told and value != told[name]:
            raise CheckpointError(
                f"{path}: was trained with {name} {told[name]}, not {value}; leave that option out"
            )


def _filled(
    path: Path, config: AudioConfig | VisualConfig, settings: BranchSettings, state: StateDict
) -> Branch:
    """The branch with these weights, every one of them used."""
    branch: Branch
    if isinstance(config, AudioConfig):
        branch = AudioBranch(config, settings)
    else:
        branch = VisualBranch(config, settings)
    try:
        branch.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CheckpointError(
            f"{path}: does not fit the model ({'; '.join(lines)[:300]}); check the options that "
            "name its architecture"
        ) from None
    return branch.eval()


def _model_state(path: Path) -> StateDict:
    """The weights of a published checkpoint."""
    content = read_weights(path)
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError(
            f"{path}: no weights under 'model'; is this a QuAVF checkpoint "
            "({metric, model, optim, epoch, trainIter})?"
        )
    if all(key.startswith("module.") for key in state):  # trained on several devices
        state = {key.removeprefix("module."): value for key, value in state.items()}
    needed = ("predHead.1.weight", "temporalModule.0.embed.weight")
    for key in needed:
        if key not in state or state[key].ndim != 2:
            raise CheckpointError(f"{path}: no usable {key!r} in it; is this a QuAVF checkpoint?")
    return state


def _check_known(path: Path, state: StateDict, pattern: str) -> None:
    """That the branch has a place for every weight, or is known to make it without using it."""
    for key in state:
        if not re.fullmatch(pattern, key):
            raise CheckpointError(
                f"{path}: the model has no place for {key!r}; is this a QuAVF checkpoint, and not "
                "one of a changed model?"
            )


def _published_audio(
    path: Path, state: StateDict, encoder_heads: int | None, n_heads: int
) -> Branch:
    backbone = {k[9:]: v for k, v in state.items() if k.startswith("backbone.")}
    try:
        encoder, shape = from_openai_whisper(backbone, encoder_heads)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: its encoder is not Whisper's ({error})") from None
    config = AudioConfig(
        encoder=next(
            (n for n, s in WHISPER_SIZES.items() if s == shape), "{}x{}x{}".format(*shape)
        ),
        encoder_weights="random",
        dim=state["predHead.1.weight"].shape[1],
        n_layers=_n_layers(state),
        n_heads=n_heads,
    )
    weights = {f"encoder.{k}": v for k, v in encoder.items()} | _ours(state)
    weights |= {f"project.{k}": state[f"inProj.0.{k}"] for k in ("weight", "bias")}
    return _filled(path, config, BranchSettings(REFERENCE.name), weights)


def _published_visual(path: Path, state: StateDict, n_heads: int, backbone: str | None) -> Branch:
    dim = state["temporalModule.0.embed.weight"].shape[1]
    image = {k[9:]: v for k, v in state.items() if k.startswith("backbone.")}
    quality = state.get("scoreEmbed.weight")
    if state["predHead.1.weight"].shape[1] == dim:  # there may be an embedding that is not used
        quality = None
    config = VisualConfig(
        backbone=backbone or recognise_backbone(path, image, dim),
        backbone_weights="random",
        dim=dim,
        n_layers=_n_layers(state),
        n_heads=n_heads,
        use_quality=quality is not None,
        quality_bins=20 if quality is None else len(quality) - 1,
    )
    windows = WindowConfig(n_slots=len(state["temporalModule.0.embed.weight"]) - 1)
    weights = {f"backbone.{k}": v for k, v in image.items()} | _ours(state)
    if quality is not None:
        weights["quality_embedding.weight"] = quality
    return _filled(path, config, BranchSettings(REFERENCE.name, windows), weights)


def _ours(state: StateDict) -> StateDict:
    """The temporal modules and the last layer under our names."""
    names = {"attn.": "attention.", "embed.": "position."}
    found: StateDict = {}
    for key, value in state.items():
        if match := re.fullmatch(r"temporalModule\.(\d+)\.(attn\.|embed\.)(.+)", key):
            found[f"temporal.{match[1]}.{names[match[2]]}{match[3]}"] = value
        elif key.startswith("predHead.1."):
            found[f"head.{key.removeprefix('predHead.1.')}"] = value
    return found


def _n_layers(state: StateDict) -> int:
    return len({key.split(".")[1] for key in state if key.startswith("temporalModule.")})
