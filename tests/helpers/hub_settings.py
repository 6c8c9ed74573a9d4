"""Point the Hub's library to a stand-in and a cache of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quavf.models.hub import fetch_bundle
from tests.helpers.hub_stub import TOKEN, Hub, serve_hub


def use_stub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in for the Hub, of which this process's library knows; the owner is logged in."""
    constants = pytest.importorskip("huggingface_hub.constants")
    file_download = pytest.importorskip("huggingface_hub.file_download")
    with serve_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        files = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for module in (constants, file_download):  # versions before 1.0 copy it on import
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", files, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        fetch_bundle.cache_clear()
        yield hub
        fetch_bundle.cache_clear()
        _forget_sessions()


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process had been started with HF_HUB_OFFLINE=1."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _forget_sessions()


def _forget_sessions() -> None:
    """Versions of the library before 1.0 decide whether they are offline when a session opens."""
    http: Any = pytest.importorskip("huggingface_hub.utils._http")
    if hasattr(http, "reset_sessions"):
        http.reset_sessions()
