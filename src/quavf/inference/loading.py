"""Branches ready to predict: from checkpoints and exported models, run by any backend."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from quavf.core.branches import BRANCHES, BranchSpec
from quavf.core.errors import CheckpointError, ConfigError
from quavf.inference.backends import Backend, OnnxBackend, OpenVinoBackend, open_graph
from quavf.inference.config import CPU_ONLY, InferenceConfig
from quavf.inference.predictor import Predictor
from quavf.models.config import BranchSettings
from quavf.models.description import (
    EXPORT_SUFFIXES,
    METADATA_KEY,
    PublishedOptions,
    check_options,
    checkpoint_file,
    read_description,
    reason,
)
from quavf.models.devices import check_device, has_gpu, use_threads
from quavf.models.portable import PortableCheckpoint, find_graphs
from quavf.utils.extras import require_torch

if TYPE_CHECKING:
    from quavf.models.branch import BranchNetwork

Model = Any  # what a BranchNetwork's `run_on`, or its spec's `remote`, makes
Options = TypeVar("Options", bound=InferenceConfig)
CROPS_AT_ONCE = 8  # that ONNX Runtime sees; more no longer fit the processor's cache


def load_predictors(
    checkpoints: Mapping[str, Path],
    config: InferenceConfig,
    choose_scorer: Callable[[BranchSpec, BranchSettings], str],
    published: PublishedOptions | None = None,
) -> dict[str, Predictor]:
    """Load the predictor of each branch, by name, from its checkpoint.

    A checkpoint is what `load_model` takes.
    `choose_scorer` names the scorer of face quality for a branch with such settings, asked only for
    branches that use quality. Raises CheckpointError for a file, ConfigError if it holds another
    branch or cannot run as asked.
    """
    predictors: dict[str, Predictor] = {}
    for name, path in checkpoints.items():
        spec = BRANCHES.get(name)
        found, model = load_model(path, config, published)
        if found.name != name:
            raise ConfigError(
                f"--{name} {path}: this is a checkpoint of the {found.name} branch; give one of "
                f"the {name} branch"
            )
        scorer = choose_scorer(spec, model.settings) if spec.uses_quality else ""
        used = resolve_device(config, path)
        predictors[name] = spec.load("predictor")(model, used, scorer)
    return predictors


def load_model(
    path: Path, config: InferenceConfig, published: PublishedOptions | None = None
) -> tuple[BranchSpec, Model]:
    """Load a branch from any checkpoint (see `load_branch`) or exported model, to run as asked.

    Raises CheckpointError for the file, ConfigError if it cannot run with this configuration.
    """
    published = published or PublishedOptions()
    if is_exported(path):
        config.require_cpu(str(path))
        spec, model = _load_exported(path, resolve_device(config, path))
        check_options(path, model.config, published)
        return spec, model
    config = resolve_device(config, path)
    portable = _find_graphs(path, config)
    if portable is not None:
        check_options(path, portable.config, published)
        return portable.spec, _run_graphs(portable, config)
    require_torch(
        f"{path}: this checkpoint", "export it with `quavf export` where torch is, and give that"
    )
    from quavf.models.checkpoint import load_branch

    network = load_branch(path, **vars(published))
    use_threads(config.threads)
    return BRANCHES.get(network.name), run_branch(network, config)


def _find_graphs(path: Path, config: InferenceConfig) -> PortableCheckpoint | None:
    """The checkpoint for ONNX Runtime, where the configuration allows for it or asks for it."""
    fits = config.precision == "fp32" and config.device == "cpu"
    if config.runtime in ("torch", "openvino") or not (fits or config.runtime == "onnx"):
        return None
    found = find_graphs(checkpoint_file(path))
    if config.runtime != "onnx":
        return found
    config.require_cpu("runtime: onnx")
    if config.precision != "fp32":
        raise ConfigError(f"precision: onnx runs {path} in fp32 only; leave --precision out")
    if found is None:
        raise ConfigError(
            f"runtime: onnx: the package has no graph for {path}; export it with `quavf export`, "
            "and give that"
        )
    return found


def _run_graphs(checkpoint: PortableCheckpoint, config: InferenceConfig) -> Model:
    remote = checkpoint.spec.load("remote")
    networks = []
    for suffix, inputs in remote.parts(checkpoint.config):
        weights = checkpoint.read_weights(suffix)
        rows = CROPS_AT_ONCE if inputs == ("crops",) else 0
        try:
            networks.append(OnnxBackend(checkpoint.graphs[suffix], config, weights, rows))
        except CheckpointError as error:
            raise CheckpointError(
                f"{checkpoint.path}: its weights do not fit its configuration ({reason(error)}); "
                "download it again"
            ) from None
    return remote(checkpoint.config, checkpoint.settings, *networks)


def run_branch(network: BranchNetwork, config: InferenceConfig) -> Model:
    """A branch that runs as asked, as its predictor calls it.

    All but its costly first part stays with torch, in fp32.
    """
    by_torch = config.runtime != "openvino" and config.precision == "fp32"
    if by_torch or BRANCHES.get(network.name).is_small:
        return network.run_on(config.device)
    from quavf.models import graphs, runners

    costly, *others = graphs.branch_graphs(network)
    if config.runtime != "openvino":
        config.require_torch_bf16()
        network.to(config.device)
        return network.run_on(config.device, runners.run_in_bf16(costly.eager))
    run = OpenVinoBackend(graphs.openvino_model(costly), config)
    remote = BRANCHES.get(network.name).load("remote")
    return remote(network.config, network.settings, run, *map(runners.take_arrays, others))


def run_network(network: Any, example: Any, config: InferenceConfig) -> Callable[[Any], Any]:
    """Any torch network that is on its device already, to run as asked: fp32 tensors in and out.

    `example` is a batch of two.
    """
    from quavf.models import graphs, runners

    if config.runtime == "openvino":
        model = graphs.openvino_graph(network, (example,), type(network).__name__)
        return runners.take_tensors(OpenVinoBackend(model, config))
    if config.precision == "fp32":
        return network  # type: ignore[no-any-return]
    config.require_torch_bf16()
    return runners.run_in_bf16(network)


def resolve_device(config: Options, path: Path | None = None) -> Options:
    """Choose the device where it is `auto`: a GPU if there is one and the model can use it.

    `path` is the model's file. Raises ConfigError for a device that does not exist.
    """
    if config.device != "auto":
        check_device(config.device)
        return config
    only_cpu = config.runtime in CPU_ONLY or (path is not None and is_exported(path))
    return replace(config, device="cpu" if only_cpu or not has_gpu() else "cuda")


def is_exported(path: Path) -> bool:
    """Whether a file is, by its name, one that `quavf export` writes."""
    return path.suffix in EXPORT_SUFFIXES.values()


def part_path(path: Path, suffix: str) -> Path:
    """The file of an exported branch's part: `visual.onnx` -> `visual.classifier.onnx`."""
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


def model_files(path: Path) -> list[Path]:
    """All files that a checkpoint or an exported model consists of, as far as they exist."""
    if not is_exported(path):
        return [checkpoint_file(path)]
    found = [path, *sorted(path.parent.glob(f"{glob.escape(path.stem)}.*{path.suffix}"))]
    found += [file.with_suffix(".bin") for file in found if file.suffix == ".xml"]
    return [file for file in found if file == path or file.is_file()]


def _load_exported(path: Path, config: InferenceConfig) -> tuple[BranchSpec, Model]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a checkpoint, or an exported model")
    network, inputs, metadata = open_graph(path, config)
    description = _read_metadata(path, metadata)
    spec, branch_config, settings = read_description(path, description)
    remote = spec.load("remote")
    (_, first), *others = remote.parts(branch_config)
    _check_inputs(path, inputs, first)
    run_in_fp32 = replace(config, precision="fp32")  # the other parts cost next to nothing
    networks = [
        _load_part(path, part_path(path, suffix), names, description, run_in_fp32)
        for suffix, names in others
    ]
    return spec, remote(branch_config, settings, network, *networks)


def _load_part(
    first: Path,
    path: Path,
    names: Sequence[str],
    description: dict[str, Any],
    config: InferenceConfig,
) -> Backend:
    """A further graph of an exported branch, which must be of the same one as the first."""
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; {first.name} needs it beside it, export both again"
        )
    network, inputs, metadata = open_graph(path, config)
    if _read_metadata(path, metadata) != description:
        raise CheckpointError(f"{path}: is of another branch than {first.name}; export it again")
    _check_inputs(path, inputs, names)
    return network


def _read_metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{path}: a model, but not one that `quavf export` wrote; export a checkpoint with it"
        )
    try:
        return dict(json.loads(metadata[METADATA_KEY]))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged configuration ({reason(error)})") from None


def _check_inputs(path: Path, inputs: Sequence[str], expected: Sequence[str]) -> None:
    if list(inputs) != list(expected):
        raise CheckpointError(
            f"{path}: takes {', '.join(inputs)}, expected {', '.join(expected)}; give the file "
            "that `quavf export` was told to write"
        )
