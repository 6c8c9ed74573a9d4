"""Bundles: what their files say, and what is said about damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quavf.core.errors import CheckpointError
from quavf.models.bundle import BUNDLE_FILE, Bundle, read_bundle
from quavf.results.config import MomentsConfig
from quavf.results.fusion import PUBLISHED

PLAIN: dict[str, Any] = {"format": 1, "name": "mine", "branches": {"visual": "v.onnx"}}


def write(folder: Path, **changes: Any) -> Path:
    """A folder with a bundle's file and its visual branch."""
    (folder / "v.onnx").touch()
    (folder / BUNDLE_FILE).write_text(json.dumps(PLAIN | changes))
    return folder


def test_a_bundle_says_how_its_scores_are_used(tmp_path: Path) -> None:
    moments, mesh = {"threshold": 0.7, "max_gap": 1}, {"mesh": "face_mesh.onnx"}
    live = moments | {"threshold": 0.8}
    given = {"moments": moments, "live": live, "perception": mesh, "card": "README.md"}
    bundle = read_bundle(write(tmp_path, **given))
    assert bundle.name == "mine"
    assert bundle.branches == {"visual": tmp_path / "v.onnx"}
    assert bundle.moments == MomentsConfig(threshold=0.7, max_gap=1)
    assert bundle.live == MomentsConfig(threshold=0.8, max_gap=1)
    assert bundle.perception == mesh
    assert bundle.card == tmp_path / "README.md"
    assert bundle.fusion is PUBLISHED
    (tmp_path / BUNDLE_FILE).write_text(json.dumps(bundle.to_json()))
    assert read_bundle(tmp_path) == bundle


def test_a_folder_of_checkpoints_is_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "visual.safetensors").touch()
    bundle = read_bundle(tmp_path)
    assert bundle == Bundle(tmp_path.name, {"visual": tmp_path / "visual.safetensors"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, r"format 2, this version reads 1; update quavf"),
        ({"weights": {}}, r"unknown field 'weights'"),
        ({"branches": {}}, r"branches: empty"),
        ({"branches": {"visual": 3}}, r"branches: expected an object of file names"),
        (
            {"branches": {"smell": "s.pt"}},
            r"branches: no branch 'smell' is installed; there",
        ),
        ({"branches": {"audio": "a.pt"}}, r"branches.audio: .*a\.pt does not exist"),
        ({"fusion": {"kind": "magic"}}, r"fusion.kind: 'magic' is not known"),
        ({"moments": {"threshold": 2}}, r"moments.threshold: 2 is not in"),
        ({"moments": {"treshold": 0.5}}, r"moments: unknown field 'treshold'"),
        ({"live": {"threshold": 2}}, r"moments.threshold: 2 is not in"),
        ({"fallback": ["visual"]}, r"fallback: there is no branch cues to stand in for"),
        ({"fallback": ["cues"]}, r"fallback: expected a list of some of visual, found \["),
        ({"perception": ["mesh"]}, r"perception: expected an object of file names"),
    ],
)
def test_damaged_bundles(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"bundle\.json: {message}"):
        read_bundle(write(tmp_path, **changes))


def test_files_that_hold_no_object(tmp_path: Path) -> None:
    path = write(tmp_path) / BUNDLE_FILE
    for text, message in (("[", "not valid JSON"), ("[]", r"format \[\], this version")):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=message):
            read_bundle(tmp_path)


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected bundle\.json, audio\.safetensors or"):
        read_bundle(tmp_path)


def test_another_checkpoint_does_without_what_was_fitted() -> None:
    """A branch less still fits; one of somebody else does not."""
    own = {"audio": Path("a.pt"), "visual": Path("v.pt")}
    bundle = Bundle("mine", own, moments=MomentsConfig(threshold=0.7), live=MomentsConfig())
    assert bundle.change({}) == bundle
    less = bundle.change({"audio": None})
    assert (dict(less.branches), less.moments.threshold) == ({"visual": Path("v.pt")}, 0.7)
    other = bundle.change({"audio": Path("other.pt")})
    assert list(other.branches.values()) == [Path("other.pt"), Path("v.pt")]
    assert (other.fusion, other.moments, other.live) == (PUBLISHED, MomentsConfig(), None)


def test_others_stand_in_for_the_cues_alone() -> None:
    paths = {name: Path(f"{name}.pt") for name in ("audio", "visual", "cues")}
    bundle = Bundle("mine", paths, fallback=("audio", "visual"))
    assert bundle.to_json()["fallback"] == ["audio", "visual"]
    assert bundle.change({"audio": None}).fallback == ("visual",)
    assert bundle.change({"cues": None}).fallback == ()
    assert bundle.change({"cues": Path("other.pt")}).fallback == (), "another fusion needs all"
