"""Point the Hub's library to a stand-in and a cache of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quavf.models.hub import fetch_bundle
from tests.helpers.hub_stub import TOKEN, Hub, serve_hub


def use_stub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in for the Hub, of which this process's library knows; the owner is logged in."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with serve_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        files = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        fetch_bundle.cache_clear()
        yield hub
        fetch_bundle.cache_clear()
