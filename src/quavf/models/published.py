"""Checkpoints of the published system (QuAVF, Ego4D Talking-to-Me challenge 2023).

A pickle `{metric, model, optim, epoch, trainIter}` with the weights under `model`. Shapes and keys
give the architecture, except for what `PublishedOptions` says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeGuard

from torch import Tensor

from quavf.core.errors import CheckpointError
from quavf.core.semantics import REFERENCE
from quavf.core.windows import WindowConfig
from quavf.models.audio import AudioBranch
from quavf.models.backbones import from_openai_whisper, recognise_backbone
from quavf.models.branch import fill_network
from quavf.models.config import WHISPER_SIZES, AudioConfig, BranchSettings, VisualConfig
from quavf.models.description import HEAD, PublishedOptions
from quavf.models.tensors import StateDict, read_weights
from quavf.models.visual import VisualBranch

# Keys of a published checkpoint; the names inside its parts are the parts' own business.
PARTS = r"backbone\..+|temporalModule\.\d+\.(attn|embed)\..+|predHead\.1\..+"
AUDIO_KEYS = rf"{PARTS}|inProj\.0\.(weight|bias)"
# The visual model creates `inProj` without using it, and `scoreEmbed` even without quality input.
VISUAL_KEYS = rf"{PARTS}|inProj\.1\.(weight|bias)|scoreEmbed\.weight"
COMPILED = "_orig_mod."  # torch.compile's
WRAPPERS = ("module.", COMPILED)
N_HEADS = 8  # of the temporal attention, which no shape tells


def published_state(path: Path) -> StateDict:
    """The weights of a published checkpoint, or of a plain file of its weights.

    Raises CheckpointError if it is not one.
    """
    content = read_weights(path)
    state = content.get("model") if isinstance(content, dict) else None
    if state is None and _is_state(content) and any(HEAD in key for key in content):
        state = content
    if not _is_state(state):
        raise CheckpointError(
            f"{path}: no weights under 'model'; is this a QuAVF checkpoint "
            "({metric, model, optim, epoch, trainIter})?"
        )
    state = strip_wrappers(path, state)
    for key in (HEAD, "temporalModule.0.embed.weight"):
        if key not in state or state[key].ndim != 2:
            raise CheckpointError(f"{path}: no usable {key!r} in it; is this a QuAVF checkpoint?")
    return state


def _is_state(state: object) -> TypeGuard[StateDict]:
    return isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    )


def _all_start_with(prefix: str, state: StateDict) -> bool:
    return bool(state) and all(key.startswith(prefix) for key in state)


def strip_wrappers(path: Path, state: StateDict) -> StateDict:
    """The weights without the names that training on several devices or compiling puts in front.

    `module.` and `_orig_mod.` in any order and number; the latter also in front of a part.
    """
    while prefix := next(
        (p for p in WRAPPERS if state and all(k.startswith(p) for k in state)), ""
    ):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    stripped = {key.replace(COMPILED, ""): value for key, value in state.items()}
    if len(stripped) < len(state):
        raise CheckpointError(f"{path}: holds weights both with and without {COMPILED!r} in front")
    return stripped


def read_audio(path: Path, state: StateDict, options: PublishedOptions) -> AudioBranch | None:
    """The audio branch of these weights; None if they are of another branch."""
    if "backbone.positional_embedding" not in state:
        return None
    _check_keys(path, state, AUDIO_KEYS)
    try:
        encoder, shape = from_openai_whisper(_part(state, "backbone."), options.encoder_heads)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: its encoder is not Whisper's ({error})") from None
    config = AudioConfig(
        encoder=next(
            (n for n, s in WHISPER_SIZES.items() if s == shape), "{}x{}x{}".format(*shape)
        ),
        encoder_weights="random",
        dim=state["predHead.1.weight"].shape[1],
        n_layers=_n_layers(state),
        n_heads=options.n_heads or N_HEADS,
    )
    weights = {f"encoder.{k}": v for k, v in encoder.items()} | _rename_temporal(state)
    weights |= {f"project.{k}": state[f"inProj.0.{k}"] for k in ("weight", "bias")}
    return fill_network(path, AudioBranch(config, BranchSettings(REFERENCE.name)), weights)


def read_visual(path: Path, state: StateDict, options: PublishedOptions) -> VisualBranch | None:
    """The visual branch of these weights; None if they are of another branch."""
    if "backbone.positional_embedding" in state:
        return None
    _check_keys(path, state, VISUAL_KEYS)
    dim = state["temporalModule.0.embed.weight"].shape[1]
    image = _part(state, "backbone.")
    quality = state.get("scoreEmbed.weight")
    if state["predHead.1.weight"].shape[1] == dim:  # the embedding may be there without use
        quality = None
    config = VisualConfig(
        backbone=options.backbone or recognise_backbone(path, image, dim),
        backbone_weights="random",
        dim=dim,
        n_layers=_n_layers(state),
        n_heads=options.n_heads or N_HEADS,
        use_quality=quality is not None,
        quality_bins=20 if quality is None else len(quality) - 1,
    )
    windows = WindowConfig(n_slots=len(state["temporalModule.0.embed.weight"]) - 1)
    weights = {f"backbone.{k}": v for k, v in image.items()} | _rename_temporal(state)
    if quality is not None:
        weights["quality_embedding.weight"] = quality
    return fill_network(
        path, VisualBranch(config, BranchSettings(REFERENCE.name, windows)), weights
    )


def _check_keys(path: Path, state: StateDict, pattern: str) -> None:
    """Raise CheckpointError for a weight that the branch has no place for."""
    for key in state:
        if not re.fullmatch(pattern, key):
            raise CheckpointError(
                f"{path}: the model has no place for {key!r}; is this a QuAVF checkpoint, and not "
                "one of a changed model?"
            )


def _part(state: StateDict, prefix: str) -> StateDict:
    """The weights under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _rename_temporal(state: StateDict) -> StateDict:
    """The temporal modules and the last layer under this package's names."""
    names = {"attn.": "attention.", "embed.": "position."}
    renamed: StateDict = {}
    for key, value in state.items():
        if match := re.fullmatch(r"temporalModule\.(\d+)\.(attn\.|embed\.)(.+)", key):
            renamed[f"temporal.{match[1]}.{names[match[2]]}{match[3]}"] = value
        elif key.startswith("predHead.1."):
            renamed[f"head.{key.removeprefix('predHead.1.')}"] = value
    return renamed


def _n_layers(state: StateDict) -> int:
    return len({key.split(".")[1] for key in state if key.startswith("temporalModule.")})
