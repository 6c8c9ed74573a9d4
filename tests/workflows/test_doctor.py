"""What `quavf doctor` finds, on machines that lack this or that."""

from __future__ import annotations

import json
import sys
import tomllib
from importlib.metadata import PackageNotFoundError

import pytest

from quavf.cli import main
from quavf.workflows import doctor
from quavf.workflows.doctor import FOR_DEVELOPERS, PURPOSES, describe, examine
from tests.helpers.data import ROOT

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
BROKEN = "raise ImportError('libGL.so.1: cannot open shared object file')"
ANSWERS = {"av": 'print(\'["h264", "aac"]\')', "cv2": "print('1')"}
VERSIONS = {"numpy": "2.1", "av": "13.9", "openvino": "2026.0", "rich": "14.0rc1+local"}
REQUIRED = [
    "av<19,>=14",
    "numpy>=1.26",
    "rich>=13.7",
    "quavf[fan]; extra == 'dev'",
    "openvino>=2026.0; extra == 'openvino'",
    "ray[serve]>=2.50; extra == 'ray'",
    "torch>=2.6; extra == 'train'",
    "smell>=1; extra == 'scent'",
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An installation with these versions; libraries are not imported."""
    versions = dict(VERSIONS)

    def find(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("importlib.metadata.version", find)
    monkeypatch.setattr("importlib.metadata.requires", lambda name: REQUIRED)
    monkeypatch.setattr(doctor, "PROBES", ANSWERS)
    return versions


def test_this_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["can_run"]
    assert found["problems"] == []
    assert {"h264", "aac"} <= set(found["codecs"])
    assert found["weights"]["talk"] == ["audio", "visual", "cues"]
    assert found["system"]["cores"] >= 1
    assert all(gb > 0 for gb in found["free_gb"].values())


def test_missing_and_old_libraries(installed: dict[str, str]) -> None:
    found = examine()
    assert found.problems == ("av is missing or too old; install quavf again",)
    assert found.missing == {"ray": ["ray"], "train": ["torch"], "scent": ["smell"]}
    text = describe(found)
    assert "  --engine ray: pip install 'quavf[ray]' (ray)" in text
    assert "  the extra scent: pip install 'quavf[scent]' (smell)" in text
    assert text.endswith("`quavf run` cannot run.")
    installed["av"] = "14.0.1"
    assert examine().can_run


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (CRASH, "cv2: its import ends with SIGILL; it may be built for another processor"),
        (BROKEN, "cv2: the system library libGL.so.1 is missing; install libgl1"),
        ("import no_such_module", "cv2: cannot be imported (ModuleNotFoundError: No module"),
    ],
)
def test_broken_library(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, code: str, problem: str
) -> None:
    monkeypatch.setattr(doctor, "PROBES", {**ANSWERS, "cv2": code})
    found = examine()
    assert found.problems[-1].startswith(problem)
    assert f"Problem: {problem}" in describe(found)


def test_examinations_that_fail_are_notes(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError("gone\naway")

    for name in ("_describe_system", "_list_requirements", "_measure_free_gb", "_read_weights"):
        monkeypatch.setattr(doctor, name, fail)
    monkeypatch.setattr(doctor, "PROBES", {**ANSWERS, "av": "print('no JSON')"})
    found = examine()
    assert "the disk could not be examined (OSError: gone away)" in found.notes
    assert len(found.notes) == 5
    assert "Reads video: unknown" in describe(found)


def test_worth_a_note(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    installed["torch"] = "2.14+cpu"
    monkeypatch.setattr(doctor, "_describe_system", lambda: {"gpu": "H100, 80 GB"})
    monkeypatch.setattr(doctor, "_measure_free_gb", lambda: {"/tmp": 0.25})
    monkeypatch.setattr(doctor, "PROBES", {**ANSWERS, "av": "print('[\"vp9\"]')"})
    text = describe(examine())
    assert "Note: there is a GPU, but torch is built for the CPU alone" in text
    assert "Note: only 0.2 GB are free in /tmp" in text
    assert "Note: PyAV lacks h264 or aac" in text
    assert "GPU: H100, 80 GB" in text


def test_it_works_without_the_libraries_of_the_command_line(
    installed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    assert main(["doctor"]) == 1
    assert "Problem: av is missing or too old" in capsys.readouterr().out


def test_every_extra_has_a_purpose() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras["optional-dependencies"]) - set(FOR_DEVELOPERS) == set(PURPOSES)
