"""Write the graphs that run the weights of the package without torch.

    python scripts/export_graphs.py

A graph is the network of one architecture as ONNX without its weights, which are read from the
checkpoint: any checkpoint of that architecture runs by it. Repeat this after a change of a network
or of the recipes `small` and `talk`. Needs the extras `train` and `onnx`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quavf.models.bare_graphs import bare_graph
from quavf.models.bundled import FOLDER, load_bundle
from quavf.models.checkpoint import load_branch
from quavf.models.graphs import branch_graphs
from quavf.models.portable import GRAPHS, INDEX, describe_architecture
from quavf.utils.files import replace_file, write_json


def main() -> None:
    described = {}
    for path in dict.fromkeys(load_bundle("talk").branches.values()):
        name = f"{path.resolve().parent.relative_to(FOLDER)}.{path.stem}"
        described[name] = export_architecture(path, name)
    write_json(GRAPHS / INDEX, described)


def export_architecture(path: Path, name: str) -> dict[str, Any]:
    """Write the graphs of a checkpoint's architecture; return what the index says of them."""
    branch = load_branch(path)
    branch.requires_grad_(False)
    weights = {}
    for part in branch_graphs(branch):
        content, weights[part.suffix] = bare_graph(part, branch)
        with replace_file(GRAPHS / f"{name}{part.suffix}.onnx") as temporary:
            temporary.write_bytes(content)
    architecture = describe_architecture(branch.name, branch.config, branch.settings)
    return {**architecture, "weights": weights}


if __name__ == "__main__":
    main()
