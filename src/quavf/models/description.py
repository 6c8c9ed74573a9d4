"""Descriptions of checkpoints: the file, its branch and settings, without its weights or torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from quavf.core.branches import BRANCHES, BranchSpec, branch_names
from quavf.core.config import from_dict, to_dict
from quavf.core.errors import CheckpointError, ConfigError
from quavf.core.version import __version__
from quavf.models.config import BranchSettings

FORMAT = 1
METADATA_KEY = "quavf"
BEST = "best.safetensors"  # the checkpoint that a training run's folder stands for
EXPORT_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}  # of exported models, by format
HEAD = "predHead.1.weight"  # of any published branch


@dataclass(frozen=True)
class PublishedOptions:
    """Settings that the shapes of a published checkpoint do not tell; None is the default.

    Args:
        encoder_heads: Heads of the Whisper encoder; default: its width / 64.
        n_heads: Heads of the temporal attention; default: 8.
        backbone: Image network, a timm name; default: recognised by the keys.
    """

    encoder_heads: int | None = None
    n_heads: int | None = None
    backbone: str | None = None


def checkpoint_file(path: Path | str) -> Path:
    """The file that a checkpoint's path, or the folder of a training run, stands for."""
    return Path(path) / BEST if Path(path).is_dir() else Path(path)


def describe(network: Any, info: dict[str, Any] | None = None) -> dict[str, Any]:
    """The description that is stored with the weights of a `BranchNetwork`, JSON-able."""
    return {
        "format": FORMAT,
        "branch": network.name,
        "config": to_dict(network.config),
        "settings": to_dict(network.settings),
        "info": info or {},
        "quavf_version": __version__,
    }


def is_plain(path: Path) -> bool:
    """Whether a safetensors file holds the published system's weights, without a description."""
    try:
        with safe_open(path, "np") as file:
            described = METADATA_KEY in (file.metadata() or {})
            return not described and any(HEAD in key for key in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def checkpoint_info(path: Path) -> dict[str, Any]:
    """The description that `save_branch` stored. Raises CheckpointError."""
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
        return dict(json.loads(metadata[METADATA_KEY]))
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of this package ({reason(error)}); expected one that "
            "`quavf train` or `save_branch` wrote, or weights under the published names; download "
            "it again, or give another file"
        ) from None


def read_description(
    path: Path, description: dict[str, Any]
) -> tuple[BranchSpec, Any, BranchSettings]:
    """The branch, configuration and settings that `describe` wrote. Raises CheckpointError."""
    if description.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {description.get('format')}, this version reads {FORMAT}"
        )
    name = description.get("branch")
    if not isinstance(name, str) or name not in branch_names():
        raise CheckpointError(
            f"{path}: branch {name!r} is not one of {', '.join(branch_names())}; install or "
            "register the plug-in that it needs"
        )
    spec = BRANCHES.get(name)
    try:
        config = from_dict(spec.load("model_config"), description["config"])
        return spec, config, from_dict(BranchSettings, description["settings"])
    except (ConfigError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged configuration ({error})") from None


def check_options(path: Path, config: Any, options: PublishedOptions) -> None:
    """Raise CheckpointError if options contradict the configuration that a file states itself."""
    for name, value in vars(options).items():
        stated = getattr(config, name, None)
        if value is not None and stated is not None and value != stated:
            raise CheckpointError(
                f"{path}: was trained with {name} {stated}, not {value}; leave that option out"
            )


def is_safetensors(path: Path) -> bool:
    """Whether a file is of safetensors, by its content.

    It starts with a length of 8 bytes, under 4 GiB, and a JSON object. No torch file has both.
    """
    head = file_head(path)
    return head[4:8] == bytes(4) and head[8:] == b"{"


def file_head(path: Path) -> bytes:
    """The first 9 bytes, or as many as there are."""
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


def reason(error: Exception) -> str:
    """The first sentence of a library's message, without its advice to load unsafely."""
    text = re.sub(r"\x1b\[\d+m", "", str(error))
    refused = re.search(r"unsupported (?:global: )?(?:global|class|operand) \S+", text, re.I)
    first = (text.splitlines() or [""])[0].split(". ")[0]
    return (refused[0] if refused else first or type(error).__name__)[:200]
