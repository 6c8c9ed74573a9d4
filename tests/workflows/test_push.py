"""A bundle pushed to the Hub and pulled again: every byte of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quavf.cli import main
from quavf.core.errors import CheckpointError, ConfigError
from quavf.models.bundle import Bundle
from quavf.models.bundled import FOLDER, load_bundle
from quavf.models.hub import fetch_bundle
from quavf.workflows.push import push_bundle, write_card
from tests.helpers.hub_settings import use_stub
from tests.helpers.hub_stub import Hub

METRICS = {
    "frame": {
        "audio": {"map": 0.5, "map_ci": [0.4, 0.6], "accuracy": None, "ece": None},
        "fused": {
            "map": 0.75,
            "map_ci": None,
            "accuracy": 0.8,
            "ece": 0.031,
            "n_rows": 1200,
            "n_clips": 7,
        },
        "visual": {"map": None},
    }
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    yield from use_stub(tmp_path / "cache", monkeypatch)


def test_pushed_and_pulled_byte_for_byte(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`talk` takes two branches from a folder beside it; on the Hub it stands alone."""
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    words = ["bundle", "push", "talk", "me/talk", "--private", "--evaluation", str(tmp_path)]
    assert main([*words, "--licence", "mit", "--data", "Simulated clips."]) == 0
    assert "--weights hf://me/talk" in capsys.readouterr().out
    repository = hub.repositories["me/talk"]
    assert repository.private
    pushed = repository.commits[-1]
    assert sorted(pushed) == [
        "README.md",
        "audio.safetensors",
        "bundle.json",
        "cues.safetensors",
        "visual.safetensors",
    ]
    pulled = fetch_bundle("hf://me/talk")
    assert {path.name: path.read_bytes() for path in pulled.iterdir()} == pushed
    before, after = load_bundle("talk"), load_bundle("hf://me/talk")
    for name, path in before.branches.items():
        assert after.branches[name].read_bytes() == path.read_bytes()
    same = [{**b.to_json(), "branches": None, "card": None} for b in (before, after)]
    assert same[0] == same[1]
    card = pushed["README.md"].decode()
    assert 'license: "mit"' in card
    assert "| fused | 75.0 | 80.0 | 0.031 | 1,200 | 7 |" in card
    assert "| audio | 50.0 [40.0, 60.0] | – | – | 0 | 0 |" in card
    assert "## Training data\n\nSimulated clips." in card
    assert "--weights hf://me/talk" in card
    assert (FOLDER / "talk" / "README.md").read_text().strip() in card
    again = push_bundle(pulled, "me/copy")
    assert hub.repositories["me/copy"].commits[-1]["cues.safetensors"] == pushed["cues.safetensors"]
    assert again.bytes == sum(map(len, hub.repositories["me/copy"].commits[-1].values()))


def test_refused(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audio.ckpt").write_bytes(b"\x80\x04.")
    content = {"format": 1, "branches": {"audio": "audio.ckpt"}}
    (tmp_path / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"branches.audio: .*audio\.ckpt may execute code"):
        push_bundle(tmp_path, "me/mine")
    with pytest.raises(ConfigError, match="mine: not a repository's name; write owner/name"):
        push_bundle("small", "mine")
    with pytest.raises(ConfigError, match=r"no metrics\.json here"):
        push_bundle("small", "me/mine", evaluation=tmp_path)
    assert not hub.repositories
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    with pytest.raises(CheckpointError, match=r"hf://me/mine: .*log in with `hf auth login`"):
        push_bundle("small", "me/mine")


def test_card_of_a_bundle_without_one() -> None:
    bundle = Bundle("mine", {"audio": Path("audio.onnx")})
    card = write_card(bundle, "me/mine", None, "", "")
    head, text = card.split("---\n")[1:]
    facts: dict[str, Any] = {
        key: json.loads(value) for key, value in (line.split(": ", 1) for line in head.splitlines())
    }
    assert facts["library_name"] == "quavf"
    assert "license" not in facts
    assert text.strip().startswith("# mine\n")
    assert "| audio | what is heard | onnx |" in text
    assert "## Limits" in text


def test_facts_of_an_own_card_are_written_anew(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: other\n---\n# Mine\n\nText.\n")
    bundle = Bundle("mine", {"audio": Path("audio.onnx")}, card=tmp_path / "README.md")
    card = write_card(bundle, "me/mine", METRICS["frame"] | {"visual": {"map": 0.5}}, "mit", "")
    assert card.count("---\n") == 2
    assert "other" not in card.split("---\n")[1]
    assert '"value": 0.75' in card
    assert "# Mine\n\nText." in card
