"""The structure of the package: layers, owners of libraries, sizes, and tests that mirror it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.data import ROOT

SOURCE = ROOT / "src" / "quavf"
TESTS = ROOT / "tests"
LONGEST_FUNCTION = 60  # lines
LONGEST_MODULE = 500

LAYERS = (  # each may import itself and those before it
    "core",
    "utils",
    "sources",
    "faces",
    "cues",
    "simulate",
    "store",
    "results",
    "models",
    "evaluation",
    "inference",
    "training",
    "video",
    "live",
    "report",
    "workflows",
    "cli",
)
TOP_LEVEL = {*LAYERS, "__init__.py", "__init__.pyi", "__main__.py", "py.typed"}

OWNERS = {  # third-party library: the folders or modules that alone may import it
    "PIL": {"report", "live"},
    "av": {"sources", "simulate", "live", "report.annotate"},
    "cv2": {
        "sources",
        "faces",
        "cues",
        "video",
        "live",
        "report",
        "simulate",
        "workflows.write_clip",
    },
    "espeakng_loader": {"simulate"},
    "face_alignment": {"models.fan"},
    "huggingface_hub": {"models.hub"},
    "jsonargparse": {"cli"},
    "lazy_loader": {"__init__"},
    "lightning": {"training"},
    "matplotlib": {"report"},
    "numba": {"simulate"},
    "onnxruntime": {"utils.onnxruntime"},
    "onnxscript": {"models.bare_graphs", "models.graphs"},
    "openvino": {"utils.openvino"},
    "pympi": {"report.formats.elan", "report.formats.textgrid"},
    "pyarrow": {"store", "results", "workflows.simulate", "simulate"},
    "pyroomacoustics": {"simulate"},
    "ray": {"utils.parallel", "live.ray"},
    "rich": {"utils.progress", "report", "cli", "workflows.demo"},
    "safetensors": {"models"},
    "scipy": {"simulate"},
    "starlette": {"live", "report.labelling"},
    "timm": {"models", "training"},
    "torch": {"models", "training"},
    "torchvision": {"models", "training"},
    "transformers": {"models", "training"},
    "uvicorn": {"live", "workflows.label"},
    "webvtt": {"report.formats.captions"},
    "yaml": {"cli"},
}
ANYWHERE = {"numpy"}
PACKAGES = {  # distribution names that differ from the import's name
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "espeakng_loader": "espeakng-loader",
    "face_alignment": "face-alignment",
    "huggingface_hub": "huggingface-hub",
    "lazy_loader": "lazy-loader",
    "pympi": "pympi-ling",
    "webvtt": "webvtt-py",
    "yaml": "pyyaml",
}
NOT_IMPORTED = {"onnx", "tensorboard", "websockets"}  # used by onnxscript, Lightning and uvicorn


@cache
def modules() -> dict[str, ast.Module]:
    """Parsed modules by their dotted names below `quavf`; packages without `__init__`."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = ast.parse(path.read_text())
    return found


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import, inside functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


@cache
def own_imports(name: str) -> frozenset[str]:
    """The modules of `quavf` that a module imports."""
    found = set()
    for module, imported in imports(modules()[name]):
        if module.split(".")[0] == "quavf":
            inner = f"{module}.{imported}".removeprefix("quavf.")
            if inner in modules():
                found.add(inner)
            elif module != "quavf":
                found.add(module.removeprefix("quavf."))
    return frozenset(found - {name})


def folder(name: str) -> str:
    return name.split(".")[0]


def test_top_level_shows_the_pipeline() -> None:
    assert {path.name for path in SOURCE.iterdir()} - {"__pycache__"} == TOP_LEVEL


def test_imports_follow_the_layers() -> None:
    upward = [
        f"{name} imports {other}"
        for name in modules()
        if folder(name) in LAYERS
        for other in own_imports(name)
        if LAYERS.index(folder(other)) > LAYERS.index(folder(name))
    ]
    assert not upward


def test_no_module_cycles() -> None:
    """Not even through imports inside functions."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(own_imports(name)):
                visit(other, (*trail, name))
            done.add(name)

    for name in modules():
        visit(name, ())


def test_libraries_have_owners() -> None:
    """Every third-party import is in the table, and the table lists nothing else."""
    astray, seen = [], set()
    for name, tree in modules().items():
        for module, _ in imports(tree):
            library = folder(module)
            if library in sys.stdlib_module_names or library in ANYWHERE | {"quavf"}:
                continue
            seen.add(library)
            if not {name, folder(name)} & OWNERS.get(library, set()):
                astray.append(f"{name} imports {library}")
    assert not astray
    assert seen == set(OWNERS), "the table lists what nothing imports"


def test_imports_are_absolute() -> None:
    for name, tree in modules().items():
        levels = {node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert levels <= {0}, name


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
        assert "print" not in calls or folder(name) == "cli", name


def test_dependencies_are_declared_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {
        re.split(r"[\[<>=~! ]", requirement)[0]
        for brought in (
            project["dependencies"],
            *(extras[name] for name in extras if name not in ("dev", "docs")),
        )
        for requirement in brought
    }
    used = {PACKAGES.get(library, library) for library in {*OWNERS, *ANYWHERE}}
    assert declared == used | NOT_IMPORTED


def test_design_page_names_every_folder() -> None:
    """In the first column of its table, as `folder/`."""
    page = (ROOT / "docs" / "reference" / "design.md").read_text()
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)/`", cell)}
    assert set(LAYERS) <= named


def test_files_mirror_the_package() -> None:
    """`tests/<folder>/test_<module>[_<aspect>].py`; `tests/` itself is for the whole package."""
    known = {path.with_suffix("").relative_to(SOURCE) for path in SOURCE.rglob("*.py")}
    known |= {path.parent for path in known if path.name == "__init__"}
    known |= {Path("benchmarks") / path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    stray = []
    for path in TESTS.glob("*/**/test_*.py"):
        place, words = path.relative_to(TESTS).parent, path.stem.split("_")[1:]
        stems = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
        if not any(place / stem in known for stem in stems):
            stray.append(str(path.relative_to(TESTS)))
    assert not stray


def test_test_modules_do_not_import_each_other() -> None:
    for path in TESTS.rglob("*.py"):
        for module, name in imports(ast.parse(path.read_text())):
            target = f"{module}.{name}"
            assert not re.match(r"tests\.(?!helpers\b)|test_", target), (path, target)
