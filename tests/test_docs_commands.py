"""What README and docs tell people to type exists."""

from __future__ import annotations

import re
import shlex

import pytest

from quavf.cli import main
from quavf.cli.commands import list_commands
from tests.helpers.data import ROOT
from tests.helpers.pages import PAGES, blocks, name


def commands() -> list[tuple[str, str]]:
    """Every line of a code block that calls `quavf`, with the page's name; `\\` joins lines."""
    found = []
    for page in PAGES:
        for block in filter(lambda block: block.is_run, blocks(page)):
            for line in block.code.replace("\\\n", " ").splitlines():
                if line.startswith("quavf "):
                    found.append((name(page), line.split("#")[0].strip()))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_and_options_exist(
    page: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = [w for w in shlex.split(line.replace("[", " ").replace("]", " ")) if w != "..."][1:]
    if words == ["--help"]:
        return
    two = " ".join(words[:2])  # such as `bundle push`, beside `bundle`
    command = words[0] if words[0] in list_commands() and two not in list_commands() else two
    assert command in list_commands(), f"{page}: {line}"
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    for word in words:
        if word.startswith("--"):
            option = word.split("=")[0]
            assert re.search(rf"{re.escape(option)}\b", text), f"{page}: {line}: {option}"


def test_every_command_has_a_line_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    missing = [command for command in list_commands() if f"`quavf {command}`" not in page]
    assert not missing


def test_the_two_commands_are_make_targets() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {"demo", "test", "setup", "lint", "docs"} <= set(targets)
