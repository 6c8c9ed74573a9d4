"""Other datasets through prepare, train, predict and evaluate, with the package's weights.

The sets are simulated conversations in the layouts of EasyCom, AVA and the challenge.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quavf.cli import main
from quavf.simulate.config import SimulateConfig
from quavf.store import ClipStore
from quavf.workflows.simulate import simulate_clips
from tests.helpers.foreign_sets import (
    list_clips,
    make_ava_set,
    make_easycom_set,
    make_lam_set,
    read_sound,
)

pytestmark = pytest.mark.slow

TRAIN = ("--recipe", "own", "--trainer.epochs", "2")
CUES_ONLY = ("--weights", "talk", "--audio", "", "--visual", "")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of 8 s."""
    out = tmp_path_factory.mktemp("foreign") / "simulated"
    simulate_clips(out, SimulateConfig(clips=4, seconds=8.0, seed=5))
    return out


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def metrics(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = json.loads(
        (folder / "metrics.json").read_text()
    )
    return found


def test_easycom(simulated: Path, tmp_path: Path) -> None:
    root, store, d = make_easycom_set(tmp_path / "set", simulated), tmp_path / "store", tmp_path
    run("prepare", "easycom", "--root", root, "--store", store)
    run("cues", store)
    run("quality", store)
    run("predict", store, "--weights", "talk", "--out", d / "scores")
    run("evaluate", d / "scores", "--store", store, "--out", d / "eval")
    run("train", "cues", "--store", store, *TRAIN, "--out", d / "run")
    run("predict", store, "--cues", d / "run", "--out", d / "again")
    run("evaluate", d / "again", "--store", store, "--out", d / "eval2")
    found = metrics(d / "eval")["frame"]
    assert {"fused", "audio", "visual", "cues", "speaking", "looking"} <= found.keys()
    assert metrics(d / "eval2")["frame"].keys() >= {"cues", "speaking", "looking"}
    assert found["speaking"]["n_rows"] > 100
    clips = ClipStore.open(store)
    (source,) = (c for split, c, _ in list_clips(simulated) if split == "val")
    assert similarity(clips, "Session_4_00-00-000", simulated, source) > 0.97


def similarity(store: ClipStore, clip: str, simulated: Path, source: str) -> float:
    """Correlation of a clip's sound with that of the simulated clip it was made from."""
    expected = read_sound(simulated / "clips" / f"{source}.mp4", 16_000)
    found = store.sound(clip, 0, store.manifest(clip).n_samples or 0)
    n = min(len(found), len(expected))
    assert n > 0.9 * len(expected)
    return float(np.corrcoef(found[:n], expected[:n])[0, 1])


def test_ava(simulated: Path, tmp_path: Path) -> None:
    root, store, d = make_ava_set(tmp_path / "set", simulated), tmp_path / "store", tmp_path
    files = ("--train", root / "train.csv", "--val", root / "val.csv")
    run("prepare", "ava", "--videos", root / "videos", *files, "--every", 2, "--store", store)
    run("cues", store)
    val = ("--split", "val")
    run(
        "predict", store, "--weights", "talk", "--audio", "", "--visual", "", *val, "--out", d / "s"
    )
    run("evaluate", d / "s", "--store", store, "--out", d / "eval")
    run("submit", d / "s", "--task", "ava", "--out", d / "p.csv")
    run("submit", "--check", d / "p.csv", "--task", "ava", "--store", store)
    run("train", "cues", "--store", store, *TRAIN, "--out", d / "run")
    run("predict", store, "--cues", d / "run", *val, "--out", d / "s2")
    run("evaluate", d / "s2", "--store", store, "--out", d / "eval2")
    n_rows = len((root / "val.csv").read_text().splitlines())
    assert len((d / "p.csv").read_text().splitlines()) == n_rows
    before, after = (metrics(d / folder)["ava"] for folder in ("eval", "eval2"))
    found: dict[str, float]
    for found in (before, after):  # type: ignore[assignment]
        assert found["n_rows"] == n_rows
        assert found["n_positive"] / n_rows < found["ap"] <= 1, "better than chance"
    assert after["ap"] > before["ap"] - 0.03, "training on speech does no harm"  # type: ignore[operator]
    (source,) = (c for split, c, _ in list_clips(simulated) if split == "val")
    assert similarity(ClipStore.open(store), source, simulated, source) > 0.97


def test_looking_at_me(simulated: Path, tmp_path: Path) -> None:
    root, store, d = make_lam_set(tmp_path / "set", simulated), tmp_path / "store", tmp_path
    run("prepare", "challenge", "--task", "lam", "--root", root, "--store", store)
    run("cues", store)
    run("predict", store, *CUES_ONLY, "--out", d / "s")
    run("submit", d / "s", "--task", "lam", "--out", d / "lam.json")
    run("submit", "--check", d / "lam.json", "--task", "lam", "--store", store)
    rows = json.loads((d / "lam.json").read_text())["results"]
    assert len(rows) == len([*root.rglob("*.jpg")])
    assert len({row["score"] for row in rows}) > len(rows) / 4
