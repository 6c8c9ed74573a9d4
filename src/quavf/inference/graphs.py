"""The networks of a branch as graphs with a batch of any size, for other libraries to run."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import timm
import torch
from torch import Tensor, nn

from quavf.core.errors import CheckpointError, ConfigError
from quavf.inference.backends import openvino
from quavf.models.audio import N_MELS, AudioBranch
from quavf.models.checkpoint import Branch
from quavf.models.config import VisualConfig
from quavf.models.tensors import reason
from quavf.models.visual import VisualBranch, takes_any_size

N_FRAMES = 3000  # of a log-mel spectrogram
TRACED = 2  # samples in the batch that a graph is made with; one would be taken for a constant


class Part(nn.Module):
    """A network that becomes one graph: what goes in, by name, and what comes out."""

    def __init__(self, branch: Branch, inputs: tuple[str, ...], output: str) -> None:
        super().__init__()
        self.config, self.settings = branch.config, branch.settings
        self.inputs, self.output = inputs, output

    def examples(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """Random inputs, a batch of n."""
        shapes = {"mel": (N_MELS, N_FRAMES), "bins": ()}
        if isinstance(self.config, VisualConfig):
            shapes["crops"] = 3, self.config.size, self.config.size
            shapes["features"] = self.settings.windows.n_slots, self.config.dim
        return tuple(
            torch.zeros(n, dtype=torch.int64)
            if name == "bins"
            else torch.randn(n, *shapes[name], generator=generator)
            for name in self.inputs
        )


class AudioGraph(Part):
    """mel (B, 80, 3000) -> logits (B, 2, 900)."""

    def __init__(self, branch: AudioBranch) -> None:
        super().__init__(branch, ("mel",), "logits")
        self.network = branch

    def forward(self, mel: Tensor) -> Tensor:
        found: Tensor = self.network(mel)
        return found


class EncoderGraph(Part):
    """crops (B, 3, S, S), normalised, S the configuration's `size` -> features (B, D)."""

    def __init__(self, branch: VisualBranch) -> None:
        super().__init__(branch, ("crops",), "features")
        self.network = _for_size(branch)

    def forward(self, crops: Tensor) -> Tensor:
        found: Tensor = self.network(crops)
        return found


class ClassifierGraph(Part):
    """features (B, T, D) and, where the branch takes quality, its bins (B,) -> logits (B, 2)."""

    def __init__(self, branch: VisualBranch) -> None:
        inputs = ("features", "bins") if branch.config.use_quality else ("features",)
        super().__init__(branch, inputs, "logits")
        self.network = branch

    def forward(self, features: Tensor, bins: Tensor | None = None) -> Tensor:
        return self.network.classify_bins(features, bins)


def _for_size(branch: VisualBranch) -> Any:
    """Its image network; one that fits positions to any size of picture, fitted to its own.

    As part of a graph, positions would be resampled in every pass, which other libraries do in
    another way or not at all.
    """
    if not takes_any_size(branch.backbone):
        return branch.backbone
    config = branch.config
    resized = copy.deepcopy(branch.backbone)
    resized.set_input_size(img_size=(config.size, config.size))
    options: dict[str, Any] = {
        "num_classes": config.dim,
        "img_size": config.size,
        "dynamic_img_size": False,
    }
    fitted: Any = timm.create_model(config.backbone, **options)
    fitted.load_state_dict(resized.state_dict())
    return fitted.eval().requires_grad_(False)


def openvino_model(part: Part) -> Any:
    """The part as a model of OpenVINO's. Raises ConfigError without it, CheckpointError."""
    model = openvino_graph(part, part.examples(TRACED), _name(part))
    for port, name in zip(model.inputs, part.inputs, strict=True):
        port.get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({part.output})
    model.validate_nodes_and_infer_types()
    return model


def openvino_graph(network: nn.Module, examples: tuple[Tensor, ...], name: str) -> Any:
    """Any network as a model of OpenVINO's, for batches of any size; `examples` hold `TRACED`.

    Raises ConfigError without OpenVINO, CheckpointError that calls the network by its name.
    """
    library = openvino()
    try:
        with warnings.catch_warnings(action="ignore"):  # of other libraries' inner workings
            model = library.convert_model(_program(network, examples, name))
    except (RuntimeError, library.frontend.OpConversionFailure) as error:
        raise _not_possible(name, error) from None
    for port, example in zip(model.inputs, examples, strict=True):
        shape = [-1, *example.shape[1:]]
        port.get_node().set_partial_shape(library.PartialShape(shape))
    model.validate_nodes_and_infer_types()
    return model


def onnx_program(part: Part) -> Any:
    """The part as torch's ONNX program. Raises ConfigError without onnx, CheckpointError."""
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"format: onnx needs onnxscript, which cannot be imported ({error}); "
            "pip install 'quavf[onnx]'"
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.onnx.export(
                _program(part, part.examples(TRACED), _name(part)),
                input_names=part.inputs,
                output_names=(part.output,),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise _not_possible(_name(part), error) from None


def _program(
    network: nn.Module, examples: tuple[Tensor, ...], name: str
) -> torch.export.ExportedProgram:
    """The network's operations, recorded."""
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in examples)
    try:
        # not strict, attention would take the batch for a constant
        return torch.export.export(network.eval(), examples, dynamic_shapes=shapes, strict=True)
    except RuntimeError as error:  # torch's errors of this kind have no narrower public class
        raise _not_possible(name, error) from None


def _name(part: Part) -> str:
    config = part.config
    return config.backbone if isinstance(config, VisualConfig) else config.encoder


def _not_possible(name: str, error: Exception) -> CheckpointError:
    rule = re.search(r"No conversion rule.*", str(error))
    why = rule[0] if rule else reason(error)
    return CheckpointError(f"{name}: this network cannot become a graph ({why}); run it with torch")
