"""The fuzzer itself: its mutations repeat, and it tells what became of an input."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from quavf.core.errors import QuavfError
from tests.helpers.benchmarks import load_benchmark


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_benchmark("fuzz", monkeypatch)


def test_mutations_repeat_and_differ(fuzz: Any) -> None:
    data = json.dumps({"a": [1, 2.5, {"b": "x"}], "c": None}).encode()
    for is_json in (True, False):
        once, again = (
            [mutate(data, is_json) for mutate in fuzz._list_mutations(40, 3)] for _ in range(2)
        )
        assert once == again
        assert len(set(once)) > 20


def fail() -> str:
    raise ZeroDivisionError


def refuse() -> str:
    raise QuavfError("a: no")


@pytest.mark.parametrize(
    ("work", "kind", "detail"),
    [
        (lambda: "done", "used", "done"),
        (refuse, "refused", "a: no"),
        (fail, "traceback", "ZeroDivisionError"),
        (lambda: os.kill(os.getpid(), 9), "crash", "signal 9"),
    ],
)
def test_outcomes(fuzz: Any, work: Any, kind: str, detail: str) -> None:
    found = fuzz._in_process(work)
    assert found[0] == kind
    assert detail in found[1]


def test_a_hang_ends(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "TIMEOUT_S", 0.2)
    assert fuzz._in_process(lambda: fuzz.time.sleep(60))[0] == "hang"


def test_table(fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [fuzz.Outcome("scores", k, kind, "") for k, kind in enumerate(("used", "refused"))]
    table = fuzz.format_table(outcomes)
    assert "| scores | 2 | 1 | 1 | 0 |" in table
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{fuzz.BEGIN}\nold\n{fuzz.END}\nAfter.\n")
    monkeypatch.setattr(fuzz, "PAGE", page)
    for _ in range(2):
        fuzz.record(table)
    assert page.read_text() == f"Before.\n{fuzz.BEGIN}\n\n{table}\n\n{fuzz.END}\nAfter.\n"


@pytest.mark.slow
def test_no_input_gives_a_traceback(fuzz: Any) -> None:
    assert fuzz.main(["--inputs", "40"]) == 0
