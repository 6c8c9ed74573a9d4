"""Every link inside the repository leads somewhere, and the site can be built."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import quavf
from tests.helpers.data import ROOT
from tests.helpers.pages import PAGES, headings, links, name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_anchors_exist(page: Path) -> None:
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in headings(path)):
            broken.append(link)
    assert not broken


def test_site_contains_every_page_and_no_link_out_of_it() -> None:
    """Pages under docs/ only link to files under docs/, since the site holds nothing else."""
    docs = ROOT / "docs"
    listed = (ROOT / "mkdocs.yml").read_text()
    for page in docs.rglob("*.md"):
        assert f": {page.relative_to(docs)}\n" in listed, page
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            assert target.is_relative_to(docs), f"{name(page)}: {link}"


def test_start_page_lists_the_pages_of_the_menu_in_its_order() -> None:
    menu = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert menu[0] == "index.md"
    assert links(ROOT / "docs" / "index.md")[1:] == menu[1:]


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()


def test_api_reference_lists_every_public_name() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    listed = re.findall(r"^::: quavf\.(\w+)$", page, re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(quavf.__all__), "docs/reference/api.md lists other names"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
