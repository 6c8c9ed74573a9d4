"""Bundles from the Hub: what is fetched, what is refused, and errors in one line."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quavf.core.errors import CheckpointError, ConfigError
from quavf.models.bundled import load_bundle, weights_path
from quavf.models.hub import HubReference, fetch_bundle, parse_reference
from tests.helpers.hub_settings import go_offline, use_stub
from tests.helpers.hub_stub import Hub, Repository

TENSORS = b"\x02\0\0\0\0\0\0\0{}"  # a safetensors file without tensors
BUNDLE: dict[str, Any] = {"format": 1, "name": "mine", "branches": {"visual": "visual.safetensors"}}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from use_stub(tmp_path / "cache", monkeypatch)


def add(hub: Hub, name: str = "me/mine", /, private: bool = False, **changes: Any) -> Repository:
    """A repository with a bundle, a card, and files that must not be fetched."""
    files = {
        "bundle.json": json.dumps(BUNDLE | changes).encode(),
        "visual.safetensors": TENSORS,
        "README.md": b"card",
        "evil.py": b"raise SystemExit",
        "audio.ckpt": pickle.dumps({}),
        "other/huge.safetensors": TENSORS,
    }
    repository = Repository(private, [{}, files])
    hub.repositories[name] = repository
    return repository


def test_only_what_the_bundle_lists_is_fetched(hub: Hub) -> None:
    add(hub)
    bundle = load_bundle("hf://me/mine")
    assert bundle.name == "mine"
    folder = bundle.branches["visual"].parent
    assert {path.name for path in folder.iterdir()} == {
        "bundle.json",
        "visual.safetensors",
        "README.md",
    }
    assert bundle.branches["visual"].read_bytes() == TENSORS
    assert weights_path("hf://me/mine", "visual") == bundle.branches["visual"]
    assert not any("evil" in path or "huge" in path for path in hub.asked)


def test_revisions(hub: Hub) -> None:
    repository = add(hub)
    repository.tags["v1"] = 1
    newer = json.dumps(BUNDLE | {"name": "newer"}).encode()
    repository.commits.append(repository.commits[-1] | {"bundle.json": newer})
    assert load_bundle("hf://me/mine@v1").name == "mine"
    assert load_bundle("hf://me/mine").name == "newer"
    with pytest.raises(CheckpointError, match="hf://me/mine@v9: no branch, tag or commit 'v9'"):
        load_bundle("hf://me/mine@v9")


def test_exported_branches_come_with_their_parts(hub: Hub) -> None:
    files = add(hub, branches={"visual": "visual.onnx"}).commits[-1]
    files |= {"visual.onnx": b"1", "visual.classifier.onnx": b"2", "other.onnx": b"3"}
    folder = load_bundle("hf://me/mine").branches["visual"].parent
    assert sorted(path.name for path in folder.glob("*.onnx")) == [
        "visual.classifier.onnx",
        "visual.onnx",
    ]


def test_a_repository_without_bundle_json(hub: Hub) -> None:
    del add(hub).commits[-1]["bundle.json"]
    assert list(load_bundle("hf://me/mine").branches) == ["visual"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branches": {"audio": "audio.ckpt"}}, "branches.audio: 'audio.ckpt' may execute code"),
        ({"branches": {"audio": "../audio.safetensors"}}, "is not a file of the repository"),
        ({"branches": {"audio": "/etc/audio.safetensors"}}, "is not a file of the repository"),
        ({"branches": {"audio": "..\\audio.safetensors"}}, "is not a file of the repository"),
        ({"branches": {"audio": 3}}, "branches.audio: 3 is not a file of the repository"),
        ({"card": "../../secret"}, "card: '../../secret' is not a file of the repository"),
        ({"branches": []}, "branches: expected an object of file names"),
    ],
)
def test_unsafe_bundles_are_refused(hub: Hub, changes: dict[str, Any], message: str) -> None:
    add(hub, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_bundle("hf://me/mine")
    assert not any(path.endswith((".ckpt", ".safetensors")) for path in hub.asked)


def test_a_pickle_under_another_name_is_refused(hub: Hub) -> None:
    add(hub).commits[-1]["visual.safetensors"] = pickle.dumps({"model": 1})
    with pytest.raises(CheckpointError, match=r"visual\.safetensors is not a safetensors file"):
        load_bundle("hf://me/mine")


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    add(hub)
    fetched = fetch_bundle("hf://me/mine")
    fetch_bundle.cache_clear()
    go_offline(monkeypatch)
    hub.asked.clear()
    assert fetch_bundle("hf://me/mine") == fetched
    with pytest.raises(CheckpointError, match="not in the local cache, and the Hub cannot be"):
        fetch_bundle("hf://me/other")
    assert not hub.asked


def test_private_and_unknown_repositories(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    add(hub, private=True)
    with pytest.raises(CheckpointError, match="hf://me/nothing: no such repository, or it is priv"):
        load_bundle("hf://me/nothing")
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    with pytest.raises(CheckpointError, match="no such repository, or it is private"):
        load_bundle("hf://me/mine")


def test_no_connection(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="hf://me/mine: not in the local cache, and the Hub"):
        load_bundle("hf://me/mine")


@pytest.mark.parametrize("text", ["hf://", "hf://mine", "hf://a/b/c", "hf://a/b@", "hf://../b"])
def test_spelling(text: str) -> None:
    with pytest.raises(ConfigError, match="not a repository of the Hub; write hf://owner/name"):
        parse_reference(text)
    assert parse_reference("hf://a-b/c.d@v/1") == HubReference("a-b/c.d", "v/1")
    assert str(HubReference("a/b", "v1")) == "hf://a/b@v1"


def test_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"huggingface_hub; install it with `pip install 'quavf"):
        load_bundle("hf://me/never-fetched")
