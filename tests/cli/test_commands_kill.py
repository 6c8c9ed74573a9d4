"""Every long command, killed at random moments and repeated: the same files, and no others."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from quavf.models.checkpoint import save_branch
from tests.helpers import annotations as ego4d_labels
from tests.helpers.data import ROOT
from tests.helpers.face_videos import write_video as write_faces
from tests.helpers.media_files import tone, write_video
from tests.helpers.published import tiny_audio, tiny_visual
from tests.helpers.scored_stores import make_store

KILLS = int(os.environ.get("QUAVF_TEST_KILLS", "3"))  # of each command, one after the other
SEED = int(os.environ.get("QUAVF_TEST_SEED", "0"))
PROGRAM = "import sys, tests.helpers.face_videos\nfrom quavf.cli import main\nsys.exit(main())"
N_FRAMES = 24

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A command, the input that it needs, and where it writes."""

    words: str
    make: Callable[[Path], object]
    out: str


def make_ego4d(folder: Path) -> None:
    people = [ego4d_labels.person(1, ego4d_labels.still(0, N_FRAMES))]
    talking = [ego4d_labels.segment(1, 0, 20, target="0")]
    clips = [ego4d_labels.clip(f"c{k}", people, talking) for k in range(6)]
    ego4d_labels.write_annotations(folder / "annotations", clips)
    (folder / "clips").mkdir()
    sound = tone(N_FRAMES / 30, 48_000)[None]
    for k in range(6):
        write_video(folder / "clips" / f"c{k}.mp4", N_FRAMES, sound=sound)


def make_branches(folder: Path) -> None:
    make_store(folder / "store", ("train", "val") * 4)
    save_branch(folder / "audio.safetensors", tiny_audio())
    save_branch(folder / "visual.safetensors", tiny_visual(size=64))


def make_run(folder: Path) -> None:
    make_branches(folder)
    write_faces(folder / "v.mp4", seconds=6)


BRANCHES = "--audio in/audio.safetensors --visual in/visual.safetensors --device cpu"
TINY = (
    "--audio.encoder 16x1x2 --audio.encoder_weights random --audio.dim 16 --audio.n_heads 2 "
    "--trainer.epochs 3 --trainer.batch_size 2 --trainer.save_every 1 --trainer.accelerator cpu"
)
CASES = {
    "simulate": Case("simulate --out out --clips 2 --seconds 6 --workers 2", Path.mkdir, "out"),
    "prepare": Case(
        "prepare ego4d --annotations in/annotations --clips in/clips --store out --workers 2",
        make_ego4d,
        "out",
    ),
    "quality": Case("quality in/store --batch-size 2", make_branches, "in"),
    "train": Case(f"train audio --store in/store --out out {TINY}", make_branches, "out"),
    "predict": Case(f"predict in/store --out out {BRANCHES}", make_branches, "out"),
    "run": Case(
        f"run in/v.mp4 --out out {BRANCHES} --video.search.detector blocks", make_run, "out"
    ),
}


def start(words: str, folder: Path) -> subprocess.Popen[bytes]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words.split()],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(words: str, folder: Path) -> float:
    """Run a command to its end and return how long it took, s."""
    began = time.monotonic()
    with start(words, folder) as process:
        _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said.decode()
    return time.monotonic() - began


def content(folder: Path) -> dict[str, str]:
    """A digest of every file; of Lightning's state and logs, which hold times, only the name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "tensorboard" in name or path.is_dir():
            continue
        is_state = path.suffix == ".ckpt"
        found[name] = "" if is_state else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize("name", CASES)
def test_killed_and_repeated(name: str, tmp_path: Path) -> None:
    case, rng = CASES[name], random.Random(f"{SEED} {name}")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    case.make(whole / "in")
    shutil.copytree(whole, killed, symlinks=True)
    if case.out == "out":  # the very same input, by the same names
        shutil.rmtree(killed / "in")
        (killed / "in").symlink_to(whole / "in")
    elapsed_s = finish(case.words, whole)
    for _ in range(KILLS):
        with start(case.words, killed) as process:
            time.sleep(rng.uniform(0.2, 1.0) * elapsed_s)
            os.killpg(process.pid, signal.SIGKILL)
    finish(case.words, killed)
    assert content(killed / case.out) == content(whole / case.out)
