"""Shared by all tests: the published system's small run, unpacked and prepared once a session."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import settings

from quavf.workflows.prepare import prepare_challenge, prepare_ego4d
from quavf.workflows.quality import import_quality
from tests.helpers.data import GOLDEN, REAL_MINI

# Miniature models run fastest on one thread, by far where cores are shared; read by torch's import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# MKL's last bits depend on the processor (its AVX-512 transform is 2e-5 of log-mel away from the
# others); this path every processor has, and gives what the published system's machine gave.
os.environ.setdefault("MKL_CBWR", "AVX")

settings.register_profile("quavf", deadline=None)  # a busy machine is no failure
settings.load_profile("quavf")


@pytest.fixture(scope="session")
def e2e_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`golden/e2e` with its archives unpacked: read it, never write to it.

    `annotations/`, `split/`, `clips/`, `ttm/`, `trackPath/`, `social_test/final_test_data/`, every
    `*.json.gz` and `*.txt.gz` also without its `.gz`, and the two checkpoints.
    """
    source = GOLDEN / "e2e"
    if not source.is_dir():
        pytest.skip(f"the published system's outputs are not at {GOLDEN}")
    root = tmp_path_factory.mktemp("e2e")
    for path in sorted(source.iterdir()):
        if path.suffix == ".tgz":
            with tarfile.open(path) as archive:
                archive.extractall(root, filter="data")
        else:
            (root / path.name).symlink_to(path)
        if path.suffix == ".gz":
            (root / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return root


@pytest.fixture(scope="session")
def e2e_store(e2e_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's four clips in reference semantics, with its qualities as scorer `imported`.

    Some 20 s, once; copy it before changing anything in it.
    """
    store = tmp_path_factory.mktemp("e2e_store") / "store"
    prepare_ego4d(
        e2e_root / "annotations", e2e_root / "clips", store, "reference", splits=e2e_root / "split"
    )
    import_quality(store, e2e_root / "qualityScore_scaled.json", "imported")
    return store


@pytest.fixture(scope="session")
def e2e_challenge_store(e2e_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's four challenge segments, with their qualities as scorer `imported`."""
    store = tmp_path_factory.mktemp("e2e_challenge") / "store"
    prepare_challenge(e2e_root / "social_test" / "final_test_data", store)
    import_quality(store, e2e_root / "qualityScoreTest_scaled.json", "imported")
    return store


@pytest.fixture(scope="session")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three clips of real footage in fixed semantics, without qualities; some 4 s, once."""
    if not REAL_MINI.is_dir():
        pytest.skip(f"the real footage is not at {REAL_MINI}")
    store = tmp_path_factory.mktemp("real_store") / "store"
    prepare_ego4d(REAL_MINI / "annotations", REAL_MINI / "clips", store, splits=REAL_MINI / "split")
    return store
