"""Every Python block of README and docs runs, page by page, on a few seconds of made-up data."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from quavf.core.branches import BRANCHES
from quavf.faces.detect import DETECTORS
from quavf.faces.quality.scorer import SCORERS
from quavf.sources.registry import SOURCES
from tests.helpers.data import ROOT
from tests.helpers.pages import DATA, PAGES, blocks, data_names, name, write_files
from tests.helpers.plugins import install_plugin, run_python

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


def pages_with_python() -> list[Path]:
    return [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


@pytest.mark.parametrize("page", pages_with_python(), ids=name)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, in one namespace, in a folder with the data that the page asks for.

    `<!-- test data: store, video -->` asks for data, `<!-- not run: why -->` in the line above a
    block leaves it out, and `<!-- file: NAME -->` writes it to a file, which others can import.
    """
    # What a page registers is gone after it.
    for registry in (BRANCHES, DETECTORS, SCORERS, SOURCES):
        monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))
    monkeypatch.chdir(tmp_path)
    for path in write_files(page, tmp_path):
        module = ".".join(path.relative_to(tmp_path).with_suffix("").parts)
        sys.modules.pop(module.removesuffix(".__init__"), None)  # of another test
    monkeypatch.syspath_prepend(tmp_path)
    space: dict[str, Any] = {"__name__": "__main__"}
    for data in data_names(page):
        space |= DATA[data]()
    for block in blocks(page):
        if block.language == "python":
            code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
            if block.is_run and not block.file:
                exec(code, space)


def test_plugins_of_the_extension_page_work_when_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source and scorer as a package, used from the command line without any registration."""
    page = ROOT / "docs" / "extend.md"
    python = [b for b in blocks(page) if b.language == "python" and not b.file]
    codes = [b.code for b in python if "\nclass " in b.code]
    code = "\n".join(codes).replace("\nregister_", "\n# register_")
    points = "folder = toy_plugin:FOLDER\n[quavf.scorers]\nwidth = toy_plugin:WidthScorer"
    plugins = install_plugin(tmp_path / "site", "quavf.sources", points, code)
    monkeypatch.chdir(tmp_path)
    DATA["labelled"]()
    commands = (
        ("prepare", "folder", "--videos", "videos", "--split", "val", "--store", "STORE"),
        ("quality", "STORE", "--scorer", "width"),
    )
    for words in commands:
        done = run_python("-m", "quavf", *words, plugins=plugins, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "STORE/clips/party/quality/width.parquet").is_file()


@pytest.mark.slow
def test_branch_of_the_extension_page_works_when_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files as a package, and its commands as the page has them."""
    page = ROOT / "docs" / "extend.md"
    projects = [tomllib.loads(b.code) for b in blocks(page) if b.language == "toml"]
    group = "quavf.branches"
    (point,) = (
        points[group]["colour"]
        for project in projects
        if group in (points := project["project"]["entry-points"])
    )
    plugins = install_plugin(tmp_path / "site", group, f"colour = {point}", "")
    write_files(page, plugins)
    monkeypatch.chdir(tmp_path)
    for data in ("labels", "video"):
        DATA[data]()
    (code,) = (b.code for b in blocks(page) if "quavf train colour" in b.code)
    commands = [shlex.split(line)[1:] for line in code.splitlines()]
    call = f"from quavf.cli import main\nfor words in {commands}: assert main(words) == 0, words"
    done = run_python("-c", call, plugins=plugins, folder=tmp_path)  # one process: imports once
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "Colour" in (tmp_path / "evaluation" / "metrics.md").read_text()
    assert (tmp_path / "out" / "report.html").is_file()


def test_pages_with_python_are_found() -> None:
    assert {"README.md", "docs/extend.md", "docs/guide/python.md"} <= set(
        map(name, pages_with_python())
    )
