"""Plug-ins of installed packages; those registered by code are tested with their stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.plugins import install_plugin, run_python

DETECTOR = """
import numpy as np
from quavf import Detections

class Toy:
    name, settings = "toy", {}
    def __init__(self, options): self.min_score = options.min_score
    def detect(self, image): return Detections(np.array([[0.0, 0, 9, 9]]), np.array([0.75]))
"""
SCORER = """
import numpy as np

class Toy:
    name, settings = "toy", {}
    def __init__(self, options): pass
    def score(self, regions, confidences=None): return np.full(len(regions), 0.25)
"""
OPEN_DETECTOR = """
import numpy as np
from quavf.faces.detect import detector_names, open_detector
print(*detector_names(), open_detector("toy").detect(np.zeros((20, 20, 3), np.uint8)).scores)
"""
OPEN_SCORER = """
import numpy as np
from quavf.faces.quality.scorer import open_scorer, scorer_names
print(*scorer_names(), open_scorer("toy").score([np.zeros((9, 9, 3), np.uint8)]))
"""


@pytest.mark.parametrize(
    ("group", "code", "use", "expected"),
    [
        ("quavf.detectors", DETECTOR, OPEN_DETECTOR, "retinaface toy [0.75]"),
        ("quavf.scorers", SCORER, OPEN_SCORER, "fan light toy [0.25]"),
    ],
)
def test_an_installed_package_adds_a_plugin(
    tmp_path: Path, group: str, code: str, use: str, expected: str
) -> None:
    plugins = install_plugin(tmp_path / "site", group, "toy = toy_plugin:Toy", code)
    done = run_python("-c", use, plugins=plugins, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected
