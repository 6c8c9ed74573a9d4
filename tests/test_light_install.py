"""An installation without torch: `pip install quavf` without extras does the main job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.data import ROOT
from tests.helpers.light_job import HIDDEN

MEGABYTES = 700  # of a fresh environment, pip and setuptools included


def run_job(python: Path, folder: Path, path: str) -> None:
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, "-m", "tests.helpers.light_job", folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_main_job_needs_no_library_of_an_extra(tmp_path: Path) -> None:
    run_job(Path(sys.executable), tmp_path, os.pathsep.join([str(ROOT / "src"), *sys.path]))


@pytest.mark.slow
def test_a_fresh_environment(tmp_path: Path) -> None:
    """Needs a package registry, and a minute."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "freeze"],
        check=True,
        capture_output=True,
        text=True,
    )
    installed = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    assert not installed & {name.replace("_", "-") for name in HIDDEN}
    size = sum(f.lstat().st_size for f in environment.rglob("*") if not f.is_symlink())
    assert size <= MEGABYTES * 1e6
    run_job(python, tmp_path, str(ROOT))
