"""What README and docs tell people to type exists."""

from __future__ import annotations

import re
import shlex

import pytest

from quavf.cli import main
from quavf.cli.commands import list_commands
from tests.helpers.data import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[tuple[str, str]]:
    """Every line of a code block that calls `quavf`, with the page's name; `\\` joins lines."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.S | re.M):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("quavf "):
                    found.append((page.name, line.split("#")[0].strip()))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_and_options_exist(page, line, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = [w for w in shlex.split(line.replace("[", " ").replace("]", " ")) if w != "..."][1:]
    name = words[0] if words[0] in list_commands() else " ".join(words[:2])
    assert name in list_commands(), f"{page}: {line}"
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    for word in words:
        if word.startswith("--"):
            option = word.split("=")[0]
            assert re.search(rf"{re.escape(option)}\b", text), f"{page}: {line}: {option}"


def test_readme_is_short_and_its_links_work():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_two_commands_are_make_targets():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {"demo", "test", "setup", "lint"} <= set(targets)
