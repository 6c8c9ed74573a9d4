"""Formats by name: what each shows by default, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from quavf.core.errors import ConfigError
from quavf.report.formats.write import FORMATS, write_format
from quavf.results.records import Moment
from tests.helpers.made_up_results import made_up

RESULT = replace(
    made_up(Path("in.mp4")),
    moments=(Moment(1, 1.0, 2.0, 0.8),),
    speaking=(Moment(2, 0.5, 5.0, 0.7),),
)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written(name: str, tmp_path: Path) -> None:
    path = write_format(RESULT, name, tmp_path / "report.of" / "a.b")
    assert path == tmp_path / "report.of" / f"a.b{FORMATS[name].suffix}"
    assert "1" in path.read_text()
    assert list(path.parent.iterdir()) == [path]


def test_default_kinds(tmp_path: Path) -> None:
    assert write_format(RESULT, "vtt", tmp_path / "a").read_text().count("-->") == 1
    assert "Person_2" in write_format(RESULT, "rttm", tmp_path / "a").read_text()
    unjudged = replace(RESULT, speaking=None)
    assert "Person_1" in write_format(unjudged, "rttm", tmp_path / "a").read_text()
    asked = write_format(RESULT, "vtt", tmp_path / "a", ("talking", "speaking"))
    assert asked.read_text().count("-->") == 2


@pytest.mark.parametrize(
    ("name", "kinds", "message"),
    [
        ("srt", (), "format: 'srt' is not one of elan, vtt, rttm, textgrid, csv, json"),
        ("csv", ("x",), "kind: 'x' is not one of talking"),
        ("rttm", ("talking", "looking"), "kind: rttm holds one kind, not talking and looking"),
    ],
)
def test_refused(name: str, kinds: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        write_format(RESULT, name, tmp_path / "a", kinds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "library"), [("elan", "pympi"), ("vtt", "webvtt")])
def test_missing_library(
    name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=rf"{name} needs .*pip install 'quavf\[formats\]'"):
        write_format(RESULT, name, tmp_path / "a")
