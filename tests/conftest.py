"""Shared by all tests: the published system's small run, unpacked and prepared once a session."""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from quavf.core.branches import BranchSpec
from quavf.workflows.prepare import prepare_challenge, prepare_ego4d
from quavf.workflows.quality import import_quality
from tests.helpers.browser import CHROMIUM
from tests.helpers.data import GOLDEN, REAL_MINI
from tests.helpers.toy_branch import toy_branch

# Miniature models run fastest on one thread, by far where cores are shared; read by torch's import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# MKL's last bits depend on the processor (its AVX-512 transform is 2e-5 of log-mel away from the
# others); this path every processor has, and gives what the published system's machine gave.
os.environ.setdefault("MKL_CBWR", "AVX")

settings.register_profile("quavf", deadline=None)  # a busy machine is no failure
settings.load_profile("quavf")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    """Playwright; without it, or without Chromium, the test is skipped.

    One a module, ended with it: it occupies the thread's event loop, so that `asyncio.run`, or a
    second one, fails beside it.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        yield playwright


def make_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return a folder that `make` filled, shared by all of pytest-xdist's workers.

    The first worker to ask for it makes it; the others wait. `make` gets a folder that does not
    exist.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # a worker's own folder lies in that of the whole session
    folder, done = base / "shared" / name, base / "shared" / f"{name}.done"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # left by a worker that failed
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def e2e_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`golden/e2e` with its archives unpacked: read it, never write to it.

    `annotations/`, `split/`, `clips/`, `ttm/`, `trackPath/`, `social_test/final_test_data/`, every
    `*.json.gz` and `*.txt.gz` also without its `.gz`, and the two checkpoints.
    """
    source = GOLDEN / "e2e"
    if not source.is_dir():
        pytest.skip(f"the published system's outputs are not at {GOLDEN}")

    def unpack(root: Path) -> None:
        root.mkdir()
        for path in sorted(source.iterdir()):
            if path.suffix == ".tgz":
                with tarfile.open(path) as archive:
                    archive.extractall(root, filter="data")
            else:
                (root / path.name).symlink_to(path)
            if path.suffix == ".gz":
                (root / path.stem).write_bytes(gzip.decompress(path.read_bytes()))

    return make_once(tmp_path_factory, "e2e", unpack)


@pytest.fixture(scope="session")
def e2e_store(e2e_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's four clips in reference semantics, with its qualities as scorer `imported`.

    Some 20 s, once; copy it before changing anything in it.
    """

    def make(store: Path) -> None:
        splits = e2e_root / "split"
        annotations, clips = e2e_root / "annotations", e2e_root / "clips"
        prepare_ego4d(annotations, clips, store, "reference", splits=splits)
        import_quality(store, e2e_root / "qualityScore_scaled.json", "imported")

    return make_once(tmp_path_factory, "e2e_store", make)


@pytest.fixture(scope="session")
def e2e_challenge_store(e2e_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's four challenge segments, with their qualities as scorer `imported`."""

    def make(store: Path) -> None:
        prepare_challenge(e2e_root / "social_test" / "final_test_data", store)
        import_quality(store, e2e_root / "qualityScoreTest_scaled.json", "imported")

    return make_once(tmp_path_factory, "e2e_challenge", make)


@pytest.fixture(scope="session")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three clips of real footage in fixed semantics, without qualities; some 4 s, once."""
    if not REAL_MINI.is_dir():
        pytest.skip(f"the real footage is not at {REAL_MINI}")

    def make(store: Path) -> None:
        annotations, clips = REAL_MINI / "annotations", REAL_MINI / "clips"
        prepare_ego4d(annotations, clips, store, splits=REAL_MINI / "split")

    return make_once(tmp_path_factory, "real_store", make)


@pytest.fixture
def toy_spec() -> Iterator[BranchSpec]:
    """The toy branch, registered for one test."""
    with toy_branch() as spec:
        yield spec
