"""The fuzzer of the live server: a short run finds nothing; a session that fails is found."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from tests.helpers.benchmarks import load_benchmark


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_benchmark("fuzz_live", monkeypatch)


def test_messages_repeat_and_differ(fuzz: Any) -> None:
    for make in fuzz.KINDS.values():
        once, again = (
            [make(fuzz.random.Random(seed), 1.0) for seed in range(30)] for _ in range(2)
        )
        assert once == again
        assert len(set(once)) > 1


@pytest.mark.slow
def test_a_short_run(fuzz: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--messages", "150", "--weights", "fake", "--alone", "2"]
    assert fuzz.main(words) == 0, capsys.readouterr().out
    assert "PROBLEM" not in capsys.readouterr().out
