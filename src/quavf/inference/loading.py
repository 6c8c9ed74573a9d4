"""A branch ready to predict, whatever runs its networks: all that the predictors know of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from quavf.core.errors import CheckpointError, ConfigError
from quavf.inference.backends import Engine, OpenVinoEngine, opened
from quavf.inference.config import InferenceConfig
from quavf.inference.graphs import AudioGraph, EncoderGraph, openvino_graph, openvino_model
from quavf.models.audio import AudioBranch
from quavf.models.checkpoint import (
    FORMATS,
    METADATA_KEY,
    Branch,
    check_agreement,
    checkpoint_file,
    load_branch,
    read_description,
)
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.tensors import reason
from quavf.models.visual import VisualBranch, at_size, quality_bins

CLASSIFIER = ".classifier"  # goes before that, in the second file of a visual branch


class AudioModel(Protocol):
    """What hears: an AudioBranch, or one whose network something else runs."""

    @property
    def config(self) -> AudioConfig: ...
    @property
    def settings(self) -> BranchSettings: ...
    def __call__(self, mel: Tensor, /) -> Tensor:
        """mel (B, 80, 3000) -> logits (B, 2, 900)."""


class VisualModel(Protocol):
    """What sees: a VisualBranch, or one whose networks something else runs."""

    @property
    def config(self) -> VisualConfig: ...
    @property
    def settings(self) -> BranchSettings: ...
    def encode(self, crops: Tensor) -> Tensor:
        """crops (N, 3, H, W) normalised -> features (N, D)."""

    def classify(self, features: Tensor, quality: Tensor) -> Tensor:
        """features (B, T, D), quality (B,) -> logits (B, 2)."""


@dataclass(frozen=True)
class AudioRunner:
    """An audio branch with its network run elsewhere."""

    config: AudioConfig
    settings: BranchSettings
    network: Callable[[Tensor], Tensor]

    def __call__(self, mel: Tensor) -> Tensor:
        return self.network(mel)


@dataclass(frozen=True)
class VisualRunner:
    """A visual branch with its networks run elsewhere."""

    config: VisualConfig
    settings: BranchSettings
    encoder: Callable[[Tensor], Tensor]  # crops (N, 3, S, S) -> features (N, D)
    classifier: Callable[..., Tensor]  # features (B, T, D)[, quality bins (B,)] -> logits (B, 2)

    def encode(self, crops: Tensor) -> Tensor:
        return self.encoder(at_size(crops, self.config.size))

    def classify(self, features: Tensor, quality: Tensor) -> Tensor:
        if not self.config.use_quality:
            return self.classifier(features)
        return self.classifier(features, quality_bins(quality, self.config.quality_bins))


def load_audio(
    path: Path,
    config: InferenceConfig,
    encoder_heads: int | None = None,
    n_heads: int | None = None,
) -> AudioModel:
    """`load_model` of an audio branch. Raises ConfigError for a visual one."""
    model = load_model(path, config, encoder_heads=encoder_heads, n_heads=n_heads)
    if isinstance(model, AudioBranch | AudioRunner):
        return model
    raise ConfigError(f"--audio {path}: this is a checkpoint of the other branch")


def load_visual(
    path: Path, config: InferenceConfig, n_heads: int | None = None, backbone: str | None = None
) -> VisualModel:
    """`load_model` of a visual branch. Raises ConfigError for an audio one."""
    model = load_model(path, config, n_heads=n_heads, backbone=backbone)
    if isinstance(model, VisualBranch | VisualRunner):
        return model
    raise ConfigError(f"--visual {path}: this is a checkpoint of the other branch")


def load_model(
    path: Path,
    config: InferenceConfig,
    *,
    encoder_heads: int | None = None,
    n_heads: int | None = None,
    backbone: str | None = None,
) -> Branch | AudioRunner | VisualRunner:
    """A branch from any checkpoint (see `load_branch`) or exported model, as `config` says.

    Raises CheckpointError for the file, ConfigError when it cannot be run in this way.
    """
    if is_exported(path):
        model = _open_exported(path, config)
        check_agreement(path, model.config, encoder_heads, n_heads, backbone)
        return model
    branch = load_branch(path, encoder_heads=encoder_heads, n_heads=n_heads, backbone=backbone)
    return running(branch, config)


def running(branch: Branch, config: InferenceConfig) -> Branch | AudioRunner | VisualRunner:
    """A branch as `config` says; the classifier of windows stays torch's, in fp32."""
    config = resolve_device(config)
    use_threads(config.threads)
    network: Callable[[Tensor], Tensor]
    if config.runtime == "openvino":
        part = AudioGraph(branch) if isinstance(branch, AudioBranch) else EncoderGraph(branch)
        network = OpenVinoEngine(openvino_model(part), config)
    elif config.precision == "fp32":
        return branch.to(config.device)
    else:
        config.require_torch_bf16()
        branch.to(config.device)
        network = _in_bf16(branch if isinstance(branch, AudioBranch) else branch.backbone)
    if isinstance(branch, AudioBranch):
        return AudioRunner(branch.config, branch.settings, network)
    return VisualRunner(branch.config, branch.settings, network, branch.classify_bins)


def run_network(
    network: nn.Module, example: Tensor, config: InferenceConfig
) -> Callable[[Tensor], Tensor]:
    """Any network that is on its device already, as `config` says: fp32 in and out.

    `example` is a batch of two such as it takes.
    """
    if config.runtime == "openvino":
        model = openvino_graph(network, (example,), type(network).__name__)
        return OpenVinoEngine(model, config)
    if config.precision == "fp32":
        return network
    config.require_torch_bf16()
    return _in_bf16(network)


def _in_bf16(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A copy of the network in bf16: autocast would turn the weights into it in every pass."""
    copied = copy.deepcopy(network).to(torch.bfloat16)

    def run(x: Tensor) -> Tensor:
        found: Tensor = copied(x.to(torch.bfloat16))
        return found.float()

    return run


Options = TypeVar("Options", bound=InferenceConfig)


def resolve_device(config: Options, path: Path | None = None) -> Options:
    """Choose the device where it is `auto`: a GPU if there is one and the model can use it.

    `path` is the model's file. Raises ConfigError for a device that does not exist.
    """
    if config.device != "auto":
        _check_device(config.device)
        return config
    only_cpu = config.runtime == "openvino" or (path is not None and is_exported(path))
    device = "cuda" if torch.cuda.is_available() and not only_cpu else "cpu"
    return replace(config, device=device)


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device: {name!r} cannot be used ({reason(error)}); try cpu") from None


def use_threads(threads: int) -> None:
    """Let torch use so many CPU threads in this process; 0 leaves its own choice."""
    if threads:
        torch.set_num_threads(threads)


def is_exported(path: Path) -> bool:
    """Whether a file is, by its name, one that `quavf export` writes."""
    return path.suffix in FORMATS.values()


def classifier_path(path: Path) -> Path:
    """The second file of an exported visual branch: `visual.onnx` -> `visual.classifier.onnx`."""
    return path.with_name(f"{path.stem}{CLASSIFIER}{path.suffix}")


def model_files(path: Path) -> list[Path]:
    """All files that a checkpoint or an exported model consists of, those that are there."""
    if not is_exported(path):
        return [checkpoint_file(path)]
    found = [path, classifier_path(path)]
    found += [file.with_suffix(".bin") for file in found if file.suffix == ".xml"]
    return [file for file in found if file == path or file.is_file()]


def _open_exported(path: Path, config: InferenceConfig) -> AudioRunner | VisualRunner:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a checkpoint, or an exported model")
    network, inputs, metadata = opened(path, config)
    description = _description(path, metadata)
    model_config, settings = read_description(path, description)
    if isinstance(model_config, AudioConfig):
        _check_part(path, inputs, ["mel"])
        return AudioRunner(model_config, settings, network)
    _check_part(path, inputs, ["crops"])
    classifier = _open_classifier(path, model_config, description, config)
    return VisualRunner(model_config, settings, network, classifier)


def _open_classifier(
    encoder: Path, model: VisualConfig, description: dict[str, Any], config: InferenceConfig
) -> Engine:
    """The graph that goes with an encoder, always in fp32: it costs next to nothing."""
    path = classifier_path(encoder)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; {encoder.name} needs it beside it, export both again"
        )
    network, inputs, metadata = opened(path, replace(config, precision="fp32"))
    if _description(path, metadata) != description:
        raise CheckpointError(f"{path}: is of another branch than {encoder.name}; export it again")
    _check_part(path, inputs, ["features", "bins"] if model.use_quality else ["features"])
    return network


def _description(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{path}: a model, but not one that `quavf export` wrote; export a checkpoint with it"
        )
    try:
        return dict(json.loads(metadata[METADATA_KEY]))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged configuration ({reason(error)})") from None


def _check_part(path: Path, inputs: list[str], expected: list[str]) -> None:
    if inputs != expected:
        raise CheckpointError(
            f"{path}: takes {', '.join(inputs)}, expected {', '.join(expected)}; give the file "
            "that `quavf export` was told to write"
        )
