"""Quality scorers by name: the registry, its options, and what it imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import ConfigError
from quavf.core.records import Floats, Image
from quavf.faces.quality.light import LightScorer
from quavf.faces.quality.scorer import (
    SCORERS,
    NetworkRunner,
    ScorerOptions,
    open_scorer,
    register_scorer,
    scorer_names,
)


def test_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SCORERS, "_plugins", dict(SCORERS._plugins))
    assert scorer_names() == ("fan", "light")
    register_scorer("mine", LightScorer)
    assert isinstance(open_scorer("mine"), LightScorer)
    assert open_scorer("mine").score([np.zeros((9, 9, 3), np.uint8)]).shape == (1,)
    with pytest.raises(ConfigError, match="taken"):
        register_scorer("light", LightScorer)
    with pytest.raises(ConfigError, match="letters"):
        register_scorer("a/b", LightScorer)
    with pytest.raises(ConfigError, match="choose one of fan, light, mine"):
        open_scorer("fun")


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size: 0"):
        open_scorer("light", batch_size=0)
    with pytest.raises(ConfigError, match="takes no weights"):
        open_scorer("light", weights=tmp_path / "w.pth")


class Halving:
    """A scorer with a network: half of what it is given."""

    name = "halving"

    def __init__(self, options: ScorerOptions) -> None:
        self.settings: dict[str, Any] = {}
        self.network = lambda x: x / 2
        if options.runner is not None:
            self.settings["precision"] = options.runner.precision
            self.network = options.runner.run(self.network, np.zeros(2))

    def score(self, regions: Sequence[Image], confidences: Floats | None = None) -> Floats:
        return np.asarray(self.network(np.ones(len(regions))))


def test_a_scorer_s_network_runs_in_the_given_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SCORERS, "_plugins", dict(SCORERS._plugins))
    register_scorer("halving", Halving)
    runner = NetworkRunner(lambda network, example: lambda x: network(x) + len(example), "bf16")
    regions = [np.zeros((9, 9, 3), np.uint8)]
    assert open_scorer("halving").score(regions) == [0.5]
    scorer = open_scorer("halving", runner=runner)
    assert scorer.score(regions) == [2.5]
    assert scorer.settings == {"precision": "bf16"}


def test_a_runtime_is_for_scorers_with_a_network() -> None:
    runner = NetworkRunner(lambda network, example: network)
    with pytest.raises(ConfigError, match=r"'light': has no network.*leave --runtime"):
        open_scorer("light", runner=runner)


def test_imports_come_with_use() -> None:
    code = (
        "import sys, numpy as np\n"
        "from quavf.faces.quality.scorer import open_scorer\n"
        "assert not {'cv2', 'torch', 'face_alignment'} & set(sys.modules)\n"
        "open_scorer('light').score([np.zeros((9, 9, 3), np.uint8)])\n"
        "assert not {'torch', 'face_alignment'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
