"""Benchmarks as modules: they are scripts, outside the package."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from tests.helpers.data import ROOT

FOLDER = ROOT / "benchmarks"


def load_benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of benchmarks/<name>.py, which may import its neighbours."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, f"{name}_benchmark", module)
    spec.loader.exec_module(module)
    return module
