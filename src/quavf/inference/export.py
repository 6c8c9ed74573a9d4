"""Export of branches as ONNX or OpenVINO files, checked against torch before they are written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quavf.core.branches import BRANCHES
from quavf.core.errors import CheckpointError, ConfigError
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import load_model, part_path
from quavf.inference.remote import RemoteBranch
from quavf.models.description import (
    EXPORT_SUFFIXES,
    METADATA_KEY,
    checkpoint_file,
    checkpoint_info,
    describe,
    is_safetensors,
)
from quavf.utils.extras import require_torch
from quavf.utils.files import explain_os_errors
from quavf.utils.openvino import openvino

if TYPE_CHECKING:
    from quavf.models.branch import BranchNetwork
    from quavf.models.graphs import GraphPart

TOLERANCE = 1e-4  # largest difference of an output between torch and the export
N_CHECKED = 3  # random samples in the check: another batch than the graph was made with
ONNX_LIMIT = 2**31 - 2**20  # bytes of an ONNX file: protobuf's limit, with room for the graph


@dataclass(frozen=True)
class Export:
    """The files that were written, and the name of the branch.

    `difference` is the largest difference of an output from torch's, on random input.
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
    format = _resolve_format(out, format)
    require_torch("export")
    from quavf.models.checkpoint import load_branch
    from quavf.models.graphs import branch_graphs

    checkpoint = Path(checkpoint)
    branch = load_branch(
        checkpoint, encoder_heads=encoder_heads, n_heads=n_heads, backbone=backbone
    )
    branch.requires_grad_(False)
    metadata = json.dumps(_describe_export(checkpoint, branch), sort_keys=True)
    with explain_os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            written = Path(folder) / out.name
            for part in branch_graphs(branch):
                _write(part, part_path(written, part.suffix), format, metadata)
            _, model = load_model(written, InferenceConfig(device="cpu"))
            difference = measure_parity(branch, model)
            if not difference <= TOLERANCE:
                raise CheckpointError(
                    f"{checkpoint}: the exported model's logits are up to {difference:.1e} from "
                    f"torch's, more than {TOLERANCE:.0e}; nothing was written, run it with torch"
                )
            files = [
                file.replace(out.parent / file.name) for file in sorted(Path(folder).iterdir())
            ]
    return Export(tuple(files), branch.name, difference)


def measure_parity(branch: BranchNetwork, model: Any) -> float:
    """Largest difference of a logit between a branch in torch and the same branch run elsewhere.

    `model` is what `load_model` or `run_branch` gives. Infinite if there is a NaN.
    """
    remote: type[RemoteBranch] = BRANCHES.get(branch.name).load("remote")
    expected, found = (
        remote.example_logits(each, N_CHECKED, np.random.default_rng(0))
        for each in (branch.run_on("cpu"), model)
    )
    return float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max())


def _resolve_format(out: Path, format: str | None) -> str:
    if format is not None and format not in EXPORT_SUFFIXES:
        raise ConfigError(f"format: {format!r} is not one of {', '.join(EXPORT_SUFFIXES)}")
    told = next((name for name, suffix in EXPORT_SUFFIXES.items() if suffix == out.suffix), None)
    if told is None or format not in (None, told):
        ends = " or ".join(f"{EXPORT_SUFFIXES[name]} ({name})" for name in [format or ""] if name)
        ends = ends or " or ".join(f"{suffix} ({name})" for name, suffix in EXPORT_SUFFIXES.items())
        raise ConfigError(f"--out {out}: the file's name must end in {ends}")
    return told


def _describe_export(checkpoint: Path, branch: BranchNetwork) -> dict[str, Any]:
    """The description in the files; `weights` is the same in all files of one branch."""
    file = checkpoint_file(checkpoint)
    info = checkpoint_info(file).get("info") if is_safetensors(file) else None
    digest = hashlib.sha256()
    for key, value in sorted(branch.state_dict().items()):
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return {**describe(branch, info), "weights": digest.hexdigest()}


def _write(part: GraphPart, path: Path, format: str, metadata: str) -> None:
    if format == "openvino":
        from quavf.models.graphs import openvino_model

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
    from quavf.models.graphs import onnx_program

    program = onnx_program(part)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # source lines and their paths on this machine
    program.model.metadata_props[METADATA_KEY] = metadata
    program.save(path, external_data=False)
