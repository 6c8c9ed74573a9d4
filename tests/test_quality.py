"""Quality scorers by name: the registry, its options, and what it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quavf.errors import ConfigError
from quavf.faces import quality
from quavf.faces.quality import open_scorer, register_scorer, scorer_names
from quavf.faces.quality_light import LightScorer


def test_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_FACTORIES", dict(quality._FACTORIES))
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


def test_imports_come_with_use() -> None:
    code = (
        "import sys, numpy as np\n"
        "from quavf.faces.quality import open_scorer\n"
        "assert not {'cv2', 'torch', 'face_alignment'} & set(sys.modules)\n"
        "open_scorer('light').score([np.zeros((9, 9, 3), np.uint8)])\n"
        "assert not {'torch', 'face_alignment'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
