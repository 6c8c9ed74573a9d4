"""The FAN quality scorer: its input and score against the library, and files it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from functools import partial
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from quavf.core.errors import CheckpointError, ConfigError, QuavfError
from quavf.faces.quality.scorer import NetworkRunner, ScorerOptions, open_scorer
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import run_network
from quavf.models.fan import FanScorer, fan_input
from tests.helpers.data import GOLDEN, needs_golden, read_picture

SIZES = [(1, 1), (1, 40), (40, 1), (2, 3), (63, 64)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def fan_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random FAN of one module whose heat maps peak inside (0, 1), as the trained one's do."""
    models = pytest.importorskip("face_alignment.models")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.FAN(1)
    with torch.no_grad():
        network.l0.weight *= 0.1
        network.l0.bias.fill_(0.3)
    path = tmp_path_factory.mktemp("fan") / "fan1.pth.tar"
    torch.save(network.state_dict(), path)
    return path


@needs_golden
def test_fan_input_is_the_published_one() -> None:
    pytest.importorskip("face_alignment")
    regions = np.load(GOLDEN / "crops.npz")
    pictures = np.load(GOLDEN / "fa_crop256.npz")
    meta = json.loads((GOLDEN / "fa_crop256_meta.json").read_text())
    names = [key.removesuffix("__scoreinput") for key in regions if key.endswith("__scoreinput")]
    assert len(names) == 10
    for name in names:
        picture = fan_input(regions[f"{name}__scoreinput"])
        assert hashlib.sha1(picture.tobytes()).hexdigest() == meta[name]["sha1"], name
    middle = fan_input(regions["middle_tall__scoreinput"])
    np.testing.assert_array_equal(middle, pictures["middle_tall"])
    frame = read_picture(GOLDEN / "crop_frame.png")
    whole = fan_input(np.ascontiguousarray(frame[:224, :224, ::-1]))
    np.testing.assert_array_equal(whole, pictures["test224_top_left_of_crop_frame_rgb"])


def test_fan_equals_a_naive_computation(fan_weights: Path) -> None:
    from face_alignment.models import FAN

    regions = [noise(h, w, seed=h) for h, w in SIZES[2:]]  # a batch of two, and one of one
    network = FAN(1).eval()
    network.load_state_dict(torch.load(fan_weights, weights_only=True))
    naive = []
    for region in regions:
        picture = fan_input(region).transpose(2, 0, 1).astype(np.float32) / 255
        with torch.inference_mode():
            heat_maps = network(torch.from_numpy(picture[None]))[-1][0].numpy()
        naive.append(np.mean([heat_map.max() for heat_map in heat_maps]))
    assert min(naive) > 0.01
    assert max(naive) < 0.99
    scores = open_scorer("fan", weights=fan_weights, batch_size=2).score(regions)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, naive, atol=1e-6)
    alone = open_scorer("fan", weights=fan_weights, batch_size=1)
    np.testing.assert_allclose(alone.score(regions[:2]), scores[:2], atol=1e-6)
    assert alone.score([]).shape == (0,)


def test_fan_clips_and_tells_its_settings(fan_weights: Path, tmp_path: Path) -> None:
    state = torch.load(fan_weights, weights_only=True)
    state["l0.bias"] += 5
    torch.save(state, tmp_path / "loud.pth")
    scorer = FanScorer(ScorerOptions(tmp_path / "loud.pth"))
    assert scorer.score([noise(20, 20)]).tolist() == [1.0]
    assert scorer.settings["modules"] == 1
    json.dumps(scorer.settings, allow_nan=False)
    other = FanScorer(ScorerOptions(fan_weights)).settings
    assert other["weights_sha256"] != scorer.settings["weights_sha256"]


def test_fan_tells_the_number_of_modules(tmp_path: Path) -> None:
    models = pytest.importorskip("face_alignment.models")
    torch.save(models.FAN(2).state_dict(), tmp_path / "fan2.pth")
    assert open_scorer("fan", weights=tmp_path / "fan2.pth").settings["modules"] == 2


def test_fan_refuses_numbers_that_are_none(fan_weights: Path, tmp_path: Path) -> None:
    state = torch.load(fan_weights, weights_only=True)
    state["l0.bias"] *= float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match="finite"):
        open_scorer("fan", weights=tmp_path / "nan.pth").score([noise(5, 5)])


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a weights file"),
        (b"<html>not found</html>", "not a weights file"),
        (pickle.dumps({"l0.weight": Bomb()}), "not a weights file"),
        (Bomb(), "not a weights file"),
        ([1, 2], "holds a list"),
        ({0: torch.zeros(1)}, "holds a dict"),
        ({"conv1.weight": torch.zeros(1)}, "no key 'l0.weight'"),
        ({"l0.weight": torch.zeros(1)}, "does not fit FAN with 1 hourglass"),
        (None, "No such file"),
    ],
)
def test_fan_refuses_other_files(
    content: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("face_alignment")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fan.pth.tar"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as error:
        open_scorer("fan", weights=path)
    assert str(path) in str(error.value)
    assert not Path("exploded").exists()


def test_fan_refuses_wrong_shapes(fan_weights: Path, tmp_path: Path) -> None:
    state = torch.load(fan_weights, weights_only=True)
    state["l0.weight"] = state["l0.weight"][:5]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match=r"size mismatch for l0\.weight"):
        open_scorer("fan", weights=tmp_path / "cut.pth")


@pytest.mark.parametrize("error", [URLError("offline"), TimeoutError(), RuntimeError("bad hash")])
def test_fan_offline_is_one_clear_error(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    utils = pytest.importorskip("face_alignment.utils")

    def fail(*args: object, **kwargs: object) -> str:
        raise error

    monkeypatch.setattr(utils, "load_file_from_url", fail)
    with pytest.raises(QuavfError, match=r"2DFAN4.*--weights FILE"):
        open_scorer("fan")


def test_fan_downloads_the_published_weights(
    fan_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = pytest.importorskip("face_alignment.utils")
    asked = []

    def load(url: str, check_hash: bool) -> str:
        asked.append((url.rsplit("/", 1)[-1], check_hash))
        return str(fan_weights)

    monkeypatch.setattr(utils, "load_file_from_url", load)
    assert open_scorer("fan").score([noise(8, 8)]).shape == (1,)
    assert asked == [("2DFAN4-11f355bf06.pth.tar", True)]


def test_fan_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment.models", None)
    with pytest.raises(ConfigError, match=r"pip install 'quavf\[fan\]'"):
        open_scorer("fan")


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_fan_device_that_is_not_there(device: str, fan_weights: Path) -> None:
    with pytest.raises(ConfigError, match=f"{device}.*try 'cpu'"):
        open_scorer("fan", weights=fan_weights, device=device)


# Other libraries and precisions.

REGIONS = [noise(h, w, seed=h) for h, w in SIZES]


def runner(name: str, precision: str) -> NetworkRunner:
    """Skips where this machine or installation has no such thing."""
    how = InferenceConfig(runtime=name, precision=precision)
    try:
        run_network(torch.nn.Identity(), torch.zeros(2, 1), how)
    except ConfigError as error:
        pytest.skip(str(error))
    return NetworkRunner(partial(run_network, config=how), precision)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_openvino_gives_fan_s_scores(fan_weights: Path) -> None:
    alone = open_scorer("fan", weights=fan_weights)
    other = open_scorer("fan", weights=fan_weights, batch_size=2, runner=runner("openvino", "fp32"))
    scores = other.score(REGIONS)
    assert len(set(scores.round(4))) > 1
    np.testing.assert_allclose(scores, alone.score(REGIONS), rtol=0, atol=1e-5)
    assert other.settings == alone.settings  # what one has scored need not be scored by the other


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_fan_in_bf16_differs_but_little_and_says_so(name: str, fan_weights: Path) -> None:
    alone = open_scorer("fan", weights=fan_weights)
    other = open_scorer("fan", weights=fan_weights, batch_size=2, runner=runner(name, "bf16"))
    expected, scores = alone.score(REGIONS), other.score(REGIONS)
    assert 0 < np.abs(scores - expected).max() < 0.02
    assert other.settings == alone.settings | {"precision": "bf16"}
