"""Checkpoints that run without torch: their weights as arrays, for a graph in the package.

`bundled/graphs/` holds the networks of some architectures as ONNX without weights, those of the
weights in the package among them; `scripts/export_graphs.py` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from quavf.core.branches import BranchSpec
from quavf.core.config import to_dict
from quavf.core.errors import CheckpointError
from quavf.core.records import Array
from quavf.models.config import BranchSettings
from quavf.models.description import checkpoint_info, is_plain, is_safetensors, read_description
from quavf.utils.files import read_json

GRAPHS = Path(__file__).parent / "bundled" / "graphs"
INDEX = "index.json"
TRAINING_ONLY = {"dropout", "encoder_weights", "backbone_weights", "frozen", "frozen_stages"}


@dataclass(frozen=True)
class PortableCheckpoint:
    """A checkpoint, and the graphs of its architecture.

    `graphs` holds their files by the suffix of a branch's part, `weights` the keys that each needs.
    """

    path: Path
    spec: BranchSpec
    config: Any
    settings: BranchSettings
    graphs: Mapping[str, Path]
    weights: Mapping[str, tuple[str, ...]]

    def read_weights(self, suffix: str) -> dict[str, Array]:
        """The weights of one part, float32, by key.

        Raises CheckpointError if one is missing, not finite, or the file is damaged.
        """
        try:
            with safe_open(self.path, "np") as file:
                found = {key: file.get_tensor(key) for key in self.weights[suffix]}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path}: damaged ({error}); download it again") from None
        except TypeError as error:  # an arithmetic that NumPy lacks
            raise CheckpointError(
                f"{self.path}: cannot be read ({error}); use --runtime torch"
            ) from None
        for key, value in found.items():
            if value.dtype.kind != "f" or not np.isfinite(value).all():
                raise CheckpointError(
                    f"{self.path}: the weight {key!r} has values that are not finite numbers: the "
                    "training went wrong, or the file is damaged; give an earlier checkpoint"
                )
        return {key: np.ascontiguousarray(value, np.float32) for key, value in found.items()}


def find_graphs(path: Path) -> PortableCheckpoint | None:
    """The checkpoint with the graphs of its architecture; None if the package has none of it.

    Raises CheckpointError for a file that cannot be read.
    """
    if not path.is_file() or not is_safetensors(path) or is_plain(path):
        return None
    spec, config, settings = read_description(path, checkpoint_info(path))
    wanted = describe_architecture(spec.name, config, settings)
    for name, described in _index().items():
        weights = described["weights"]
        if {**described, "weights": None} == {**wanted, "weights": None}:
            return PortableCheckpoint(
                path,
                spec,
                config,
                settings,
                {suffix: GRAPHS / f"{name}{suffix}.onnx" for suffix in weights},
                {suffix: tuple(keys) for suffix, keys in weights.items()},
            )
    return None


def describe_architecture(branch: str, config: Any, settings: BranchSettings) -> dict[str, Any]:
    """All that a branch's graphs depend on but its weights, JSON-able."""
    shaping = {key: value for key, value in to_dict(config).items() if key not in TRAINING_ONLY}
    return {"branch": branch, "config": shaping, "n_slots": settings.windows.n_slots}


@cache
def _index() -> dict[str, Any]:
    """The architectures that `scripts/export_graphs.py` described, by the name of their files."""
    return dict(read_json(GRAPHS / INDEX))
