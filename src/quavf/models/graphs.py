"""The networks of a branch as graphs, for other libraries to run with a batch of any size."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import timm
import torch
from torch import Tensor, nn

from quavf.core.branches import BRANCHES
from quavf.core.errors import CheckpointError, ConfigError
from quavf.cues.features import N_FACE, N_RULE, N_SOUND
from quavf.models.audio import AudioBranch
from quavf.models.branch import BranchNetwork
from quavf.models.cues import CuesBranch
from quavf.models.description import reason
from quavf.models.mel import N_FRAMES, N_MELS
from quavf.models.visual import VisualBranch, takes_any_size
from quavf.utils.openvino import openvino

TRACED = 2  # samples in the batch that a graph is traced with; 1 would become a constant


class GraphPart(nn.Module):
    """Base of the parts of a branch that become one graph each: tensors in by name, one out.

    `shapes` holds the inputs' shapes by name, without the batch; an empty shape holds whole
    numbers. `suffix` goes into the name of an exported file before its ending.
    """

    suffix = ""

    def __init__(self, config: Any, network: nn.Module, eager: nn.Module | None = None) -> None:
        """`eager` is the network that torch runs in other precisions; default: `network`."""
        super().__init__()
        self.config, self.network = config, network
        self._eager = (eager or network,)  # in a tuple: its weights are not this module's
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.output = "logits"

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.shapes)

    @property
    def eager(self) -> nn.Module:
        return self._eager[0]

    def examples(self, n: int) -> tuple[Tensor, ...]:
        """A batch of n random inputs; whole numbers are zeros."""
        return tuple(
            torch.randn(n, *shape) if shape else torch.zeros(n, dtype=torch.int64)
            for shape in self.shapes.values()
        )

    @property
    def free_axes(self) -> tuple[dict[int, str], ...]:
        """Names of the axes that may have any length, for each input."""
        return tuple({0: "batch"} for _ in self.shapes)


class AudioPart(GraphPart):
    """mel (B, 80, 3000) -> logits (B, 2, 900)."""

    def __init__(self, branch: AudioBranch) -> None:
        super().__init__(branch.config, branch)
        self.shapes = {"mel": (N_MELS, N_FRAMES)}

    def forward(self, mel: Tensor) -> Tensor:
        logits: Tensor = self.network(mel)
        return logits


class EncoderPart(GraphPart):
    """crops (B, 3, S, S), normalised, S the configuration's `size` -> features (B, D)."""

    def __init__(self, branch: VisualBranch) -> None:
        super().__init__(branch.config, _fit_to_size(branch), branch.backbone)
        self.shapes = {"crops": (3, branch.config.size, branch.config.size)}
        self.output = "features"

    def forward(self, crops: Tensor) -> Tensor:
        features: Tensor = self.network(crops)
        return features


class ClassifierPart(GraphPart):
    """features (B, T, D) and, where the branch takes quality, its bins (B,) -> logits (B, 2)."""

    suffix = ".classifier"
    network: VisualBranch

    def __init__(self, branch: VisualBranch) -> None:
        super().__init__(branch.config, branch)
        self.shapes = {"features": (branch.settings.windows.n_slots, branch.config.dim)}
        if branch.config.use_quality:
            self.shapes["bins"] = ()

    def forward(self, features: Tensor, bins: Tensor | None = None) -> Tensor:
        return self.network.classify_bins(features, bins)


class ClipCuesPart(GraphPart):
    """Cues of one clip -> logits of its people (P, T, 4), with the whole clip in view.

    face (P, T, N_FACE), sound (T, N_SOUND), rule (P, T, N_RULE), seen (P, T), 1 or 0.
    """

    network: CuesBranch

    def __init__(self, branch: CuesBranch) -> None:
        super().__init__(branch.config, branch)
        self.shapes = {"face": (N_FACE,), "sound": (N_SOUND,), "rule": (N_RULE,), "seen": ()}

    def forward(self, face: Tensor, sound: Tensor, rule: Tensor, seen: Tensor) -> Tensor:
        return self.network.judge_clip(face, sound, rule, seen, None)

    def examples(self, n: int) -> tuple[Tensor, ...]:
        """n people over 5 n ticks, all of them seen."""
        n_ticks = 5 * n
        face, sound = torch.randn(n, n_ticks, N_FACE), torch.randn(n_ticks, N_SOUND)
        return face, sound, torch.randn(n, n_ticks, N_RULE), torch.ones(n, n_ticks)

    @property
    def free_axes(self) -> tuple[dict[int, str], ...]:
        both = {0: "people", 1: "ticks"}
        return both, {0: "ticks"}, both, both


class CausalCuesPart(ClipCuesPart):
    """A `ClipCuesPart` that sees `look_ahead` (1,) ticks of the future, an int64."""

    suffix = ".causal"

    def __init__(self, branch: CuesBranch) -> None:
        super().__init__(branch)
        self.shapes["look_ahead"] = ()

    def forward(  # type: ignore[override]
        self, face: Tensor, sound: Tensor, rule: Tensor, seen: Tensor, look_ahead: Tensor
    ) -> Tensor:
        return self.network.judge_clip(face, sound, rule, seen, look_ahead)

    def examples(self, n: int) -> tuple[Tensor, ...]:
        return *super().examples(n), torch.tensor([1])

    @property
    def free_axes(self) -> tuple[dict[int, str], ...]:
        return *super().free_axes, {}


def audio_graphs(branch: AudioBranch) -> tuple[GraphPart, ...]:
    """The audio branch as one graph."""
    return (AudioPart(branch),)


def visual_graphs(branch: VisualBranch) -> tuple[GraphPart, ...]:
    """The visual branch as two graphs: the image network, and the classifier of windows."""
    return EncoderPart(branch), ClassifierPart(branch)


def cues_graphs(branch: CuesBranch) -> tuple[GraphPart, ...]:
    """The cues branch as two graphs: with the whole clip in view, and with a look-ahead."""
    return ClipCuesPart(branch), CausalCuesPart(branch)


def branch_graphs(branch: BranchNetwork) -> tuple[GraphPart, ...]:
    """The parts of any branch. Raises ConfigError for one that only torch can run."""
    graphs = BRANCHES.get(branch.name).load("graphs")
    if graphs is None:
        raise ConfigError(
            f"branch {branch.name!r}: runs with torch in fp32 only; leave --runtime and "
            "--precision out"
        )
    parts: tuple[GraphPart, ...] = graphs(branch)
    return parts


def _fit_to_size(branch: VisualBranch) -> Any:
    """The image network; one that resamples its positions to the picture is fixed to its size.

    In a graph, positions would be resampled in every pass, which other libraries do differently or
    not at all.
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


def openvino_model(part: GraphPart) -> Any:
    """The part as an OpenVINO model. Raises ConfigError without OpenVINO, CheckpointError."""
    model = openvino_graph(part, part.examples(TRACED), _name(part), part.free_axes)
    for port, name in zip(model.inputs, part.inputs, strict=True):
        port.get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({part.output})
    model.validate_nodes_and_infer_types()
    return model


def openvino_graph(
    network: nn.Module,
    examples: tuple[Tensor, ...],
    name: str,
    free_axes: tuple[dict[int, str], ...] = (),
) -> Any:
    """Any network as an OpenVINO model for batches of any size; `examples` is a batch of `TRACED`.

    `name` is that of the network in messages; `free_axes` as for `GraphPart`, by default the first.
    Raises ConfigError without OpenVINO, and CheckpointError if the network cannot be converted.
    """
    library = openvino()
    try:
        with warnings.catch_warnings(action="ignore"):  # about other libraries' internals
            model = library.convert_model(_program(network, examples, name, free_axes))
    except (RuntimeError, library.frontend.OpConversionFailure) as error:
        raise _not_possible(name, error) from None
    free = free_axes or tuple({0: ""} for _ in examples)
    for port, example, axes in zip(model.inputs, examples, free, strict=True):
        shape = [-1 if axis in axes else n for axis, n in enumerate(example.shape)]
        port.get_node().set_partial_shape(library.PartialShape(shape))
    model.validate_nodes_and_infer_types()
    return model


def onnx_program(part: GraphPart, *, optimize: bool = True) -> Any:
    """The part as torch's ONNX program. Raises ConfigError without onnx, CheckpointError.

    Not optimised, it has all weights as they are in the network.
    """
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
                _program(part, part.examples(TRACED), _name(part), part.free_axes),
                input_names=part.inputs,
                output_names=(part.output,),
                dynamo=True,
                verbose=False,
                optimize=optimize,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise _not_possible(_name(part), error) from None


def _program(
    network: nn.Module,
    examples: tuple[Tensor, ...],
    name: str,
    free_axes: tuple[dict[int, str], ...] = (),
) -> torch.export.ExportedProgram:
    """The recorded operations of a network; by default the first axes are free."""
    axes = free_axes or tuple({0: "batch"} for _ in examples)
    free = {n: torch.export.Dim(n) for n in {n for each in axes for n in each.values()}}
    shapes = tuple({axis: free[n] for axis, n in each.items()} for each in axes)
    try:
        # Unless strict, attention would take the batch for a constant.
        return torch.export.export(network.eval(), examples, dynamic_shapes=shapes, strict=True)
    except RuntimeError as error:  # torch's errors of this kind have no narrower public class
        raise _not_possible(name, error) from None


def _name(part: GraphPart) -> str:
    names = (getattr(part.config, field, None) for field in ("backbone", "encoder"))
    return next((name for name in names if name), type(part).__name__)


def _not_possible(name: str, error: Exception) -> CheckpointError:
    rule = re.search(r"No conversion rule.*", str(error))
    why = rule[0] if rule else reason(error)
    return CheckpointError(f"{name}: this network cannot become a graph ({why}); run it with torch")
