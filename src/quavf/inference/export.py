"""Branches as ONNX or OpenVINO files, checked against torch before they are written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quavf.core.errors import CheckpointError, ConfigError
from quavf.inference.backends import openvino
from quavf.inference.config import InferenceConfig
from quavf.inference.graphs import (
    AudioGraph,
    ClassifierGraph,
    EncoderGraph,
    Part,
    onnx_program,
    openvino_model,
)
from quavf.inference.loading import (
    AudioRunner,
    VisualRunner,
    classifier_path,
    load_model,
)
from quavf.models.audio import AudioBranch
from quavf.models.checkpoint import (
    FORMATS,
    METADATA_KEY,
    Branch,
    branch_kind,
    checkpoint_file,
    checkpoint_info,
    describe,
    load_branch,
)
from quavf.models.tensors import is_safetensors
from quavf.models.visual import VisualBranch
from quavf.utils.files import explain_os_errors

TOLERANCE = 1e-4  # of a logit, between torch and what was written
N_CHECKED = 3  # random samples in the check: another batch than the graph was made with
ONNX_LIMIT = 2**31 - 2**20  # bytes of an ONNX file: protobuf's limit, with room for the graph


@dataclass(frozen=True)
class Export:
    """What was written: all files, the branch (audio, visual), how far its logits are from torch's.

    `difference` is the largest one of any logit on random input.
    """

    files: tuple[Path, ...]
    branch: str
    difference: float


def export(
    checkpoint: Path | str,
    out: Path | str,
    format: str | None = None,
    *,
    encoder_heads: int | None = None,
    n_heads: int | None = None,
    backbone: str | None = None,
) -> Export:
    """Write a branch as an ONNX (`.onnx`) or OpenVINO (`.xml`, with a `.bin`) file, fp32.

    `format` is onnx or openvino; by default the name of `out` tells. A visual branch becomes two
    files, the image network `out` and the classifier of windows beside it. They hold all that
    `predict` and `run` need, and take batches of any size. The rest is as for `load_branch`.

    Raises ConfigError when the format is not known, contradicts the name, or lacks its library,
    CheckpointError when the branch cannot be exported or what was written gives other logits.
    """
    out = Path(out)
    format = _checked_format(out, format)
    checkpoint = Path(checkpoint)
    branch = load_branch(
        checkpoint, encoder_heads=encoder_heads, n_heads=n_heads, backbone=backbone
    )
    branch.requires_grad_(False)
    metadata = json.dumps(_described(checkpoint, branch), sort_keys=True)
    with explain_os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            written = Path(folder) / out.name
            for part, path in _parts(branch, written):
                _write(part, path, format, metadata)
            difference = parity(branch, load_model(written, InferenceConfig(device="cpu")))
            if not difference <= TOLERANCE:
                raise CheckpointError(
                    f"{checkpoint}: the exported model's logits are up to {difference:.1e} from "
                    f"torch's, more than {TOLERANCE:.0e}; nothing was written, run it with torch"
                )
            files = [
                file.replace(out.parent / file.name) for file in sorted(Path(folder).iterdir())
            ]
    return Export(tuple(files), branch_kind(branch), difference)


@torch.inference_mode()
def parity(branch: Branch, model: Branch | AudioRunner | VisualRunner) -> float:
    """Largest difference of a logit between a branch in torch and as it runs elsewhere."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(branch, AudioBranch):
        assert not isinstance(model, VisualBranch | VisualRunner)
        (mel,) = AudioGraph(branch).examples(N_CHECKED, generator)
        return _difference(branch(mel), model(mel))
    assert not isinstance(model, AudioBranch | AudioRunner)
    n_slots = branch.settings.windows.n_slots
    (crops,) = EncoderGraph(branch).examples(N_CHECKED, generator)
    slots = torch.randint(0, N_CHECKED, (N_CHECKED, n_slots), generator=generator)
    quality = torch.rand(N_CHECKED, generator=generator)
    expected = branch.classify(branch.encode(crops)[slots], quality)
    return _difference(expected, model.classify(model.encode(crops)[slots], quality))


def _difference(expected: Tensor, found: Tensor) -> float:
    """Infinite where one is not a number."""
    return float((found - expected).abs().nan_to_num(nan=torch.inf).max())


def _checked_format(out: Path, format: str | None) -> str:
    if format is not None and format not in FORMATS:
        raise ConfigError(f"format: {format!r} is not one of {', '.join(FORMATS)}")
    told = next((name for name, suffix in FORMATS.items() if suffix == out.suffix), None)
    if told is None or format not in (None, told):
        ends = " or ".join(f"{FORMATS[name]} ({name})" for name in [format or ""] if name)
        ends = ends or " or ".join(f"{suffix} ({name})" for name, suffix in FORMATS.items())
        raise ConfigError(f"--out {out}: the file's name must end in {ends}")
    return told


def _parts(branch: Branch, path: Path) -> list[tuple[Part, Path]]:
    if isinstance(branch, AudioBranch):
        return [(AudioGraph(branch), path)]
    return [(EncoderGraph(branch), path), (ClassifierGraph(branch), classifier_path(path))]


def _described(checkpoint: Path, branch: Branch) -> dict[str, Any]:
    """What the files say of the branch; `weights` tells which of them belong together."""
    file = checkpoint_file(checkpoint)
    info = checkpoint_info(file).get("info") if is_safetensors(file) else None
    digest = hashlib.sha256()
    for key, value in sorted(branch.state_dict().items()):
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return {**describe(branch, info), "weights": digest.hexdigest()}


def _write(part: Part, path: Path, format: str, metadata: str) -> None:
    if format == "openvino":
        model = openvino_model(part)
        model.set_rt_info(metadata, METADATA_KEY)
        openvino().save_model(model, path, compress_to_fp16=False)
        return
    size = sum(value.nbytes for value in part.state_dict().values())
    if size > ONNX_LIMIT:
        raise CheckpointError(
            f"{path.name}: {size / 2**30:.1f} GiB of weights do not fit one ONNX file (2 GiB); use "
            "--format openvino"
        )
    program = onnx_program(part)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # source lines and their paths on this machine
    program.model.metadata_props[METADATA_KEY] = metadata
    program.save(path, external_data=False)
