"""What users may rely on: the public names, their weight, and that type checkers know them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import quavf
from tests.helpers.data import ROOT

FUNCTIONS = {
    "check_store": ["store", "engine"],
    "check_submission": ["path", "store", "task"],
    "compute_cues": ["store", "engine", "runtime"],
    "evaluate": ["scores", "store", "out", "config"],
    "export": ["checkpoint", "out", "format", "encoder_heads", "n_heads", "backbone"],
    "fuse": ["scores_a", "scores_v", "out"],
    "import_quality": ["store", "path", "scorer"],
    "import_scores": ["path", "store", "out", "branch", "quality"],
    "load": ["weights", "config"],
    "load_branch": ["path", "encoder_heads", "n_heads", "backbone"],
    "make_bundle": [
        "scores",
        "out",
        "stores",
        "name",
        "prior",
        "moments",
        "card",
        "foreign",
        "spoken",
        "by_face",
        "turns",
        "start",
        "fallback",
        "branches",
    ],
    "predict": [
        "store",
        "out",
        "audio",
        "visual",
        "config",
        "engine",
        "weights",
        "checkpoints",
    ],
    "prepare_challenge": ["root", "store", "engine"],
    "prepare_ego4d": [
        "annotations",
        "clips",
        "store",
        "semantics",
        "splits",
        "engine",
        "semantics_name",
    ],
    "prepare_source": ["source", "store", "config", "engine"],
    "prepare_simulated": ["store", "config", "every", "engine"],
    "push_bundle": [
        "folder",
        "repository",
        "private",
        "evaluation",
        "licence",
        "data",
        "message",
    ],
    "read_scores": ["folder"],
    "register_branch": ["spec"],
    "register_detector": ["name", "factory"],
    "register_source": ["spec"],
    "register_scorer": ["name", "factory"],
    "report_clips": ["scores", "store", "out", "clips", "moments"],
    "run_video": ["video", "out", "config", "truth"],
    "run_videos": ["videos", "out", "config", "engine"],
    "save_branch": ["path", "branch", "info"],
    "score_quality": [
        "store",
        "scorer",
        "weights",
        "config",
        "engine",
        "renamed",
    ],
    "serve": ["weights", "config", "on_start"],
    "simulate_clips": ["out", "config", "engine", "progress"],
    "train": ["branch", "store", "out", "config"],
    "train_audio": ["store", "out", "config"],
    "train_visual": ["store", "out", "config"],
    "write_submission": ["scores", "out", "task", "store"],
    "write_formats": ["folders", "formats", "out", "kinds", "store", "clips"],
}
CONFIGS = [
    "AudioConfig",
    "CuesConfig",
    "AugmentConfig",
    "BranchSettings",
    "DetectorOptions",
    "EngineConfig",
    "EvaluateConfig",
    "InferenceConfig",
    "LimitsConfig",
    "LiveConfig",
    "MomentsConfig",
    "PredictConfig",
    "RunConfig",
    "ScorerOptions",
    "SearchConfig",
    "ServeConfig",
    "SimulateConfig",
    "TrackConfig",
    "TrainAudioConfig",
    "TrainConfig",
    "TrainCuesConfig",
    "TrainVisualConfig",
    "TrainerConfig",
    "VideoConfig",
    "VisualConfig",
    "WindowConfig",
]
CLASSES = [
    "AvaConfig",
    "BranchNetwork",
    "BranchSpec",
    "BranchTraining",
    "ChallengeConfig",
    "ClipIndex",
    "ClipRecord",
    "ClipStore",
    "CroppedClip",
    "Detections",
    "EasyComConfig",
    "Ego4dConfig",
    "FaceDetector",
    "LiveCounts",
    "LiveEvent",
    "LivePerson",
    "LiveSession",
    "Moment",
    "OwnConfig",
    "Person",
    "PersonScores",
    "Pipeline",
    "Predictor",
    "PublishedConfig",
    "QualityScorer",
    "Scores",
    "Segment",
    "SourceSpec",
    "TrackRows",
    "VideoAnalysis",
    "VideoResult",
]
ERRORS = [
    "AnnotationError",
    "CheckpointError",
    "ConfigError",
    "EngineError",
    "MediaError",
    "QuavfError",
    "ScoresError",
    "StoreError",
]
HEAVY = ("torch", "lightning", "av", "cv2", "pyarrow", "timm", "transformers", "numpy", "rich")


def test_public_names_are_these_and_no_others() -> None:
    assert sorted(quavf.__all__) == sorted([*FUNCTIONS, *CONFIGS, *CLASSES, *ERRORS])
    assert set(dir(quavf)) == {*quavf.__all__, "__version__"}


@pytest.mark.parametrize(("name", "parameters"), FUNCTIONS.items())
def test_functions_keep_their_parameters(name: str, parameters: list[str]) -> None:
    function = getattr(quavf, name)
    assert list(inspect.signature(function).parameters) == parameters
    assert (function.__doc__ or "").strip()


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_have_defaults_for_everything(name: str) -> None:
    config = getattr(quavf, name)
    assert config() == config()
    assert config.__name__ == name


def test_load_branch_takes_its_options_by_name_only() -> None:
    parameters = inspect.signature(quavf.load_branch).parameters.values()
    kinds = [parameter.kind.name for parameter in parameters]
    assert kinds == ["POSITIONAL_OR_KEYWORD"] + ["KEYWORD_ONLY"] * 3


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'predcit'"):
        quavf.predcit  # type: ignore[attr-defined]  # noqa: B018


def test_every_error_of_ours_is_a_quavf_error() -> None:
    from quavf.core import errors

    own = [e for e in vars(errors).values() if inspect.isclass(e)]
    assert sorted(e.__name__ for e in own) == ERRORS
    assert all(issubclass(e, quavf.QuavfError) for e in own)


def test_type_checkers_see_the_same_names() -> None:
    """The stub lists each public name once; it is both what is loaded and what checkers read."""
    stub = Path(quavf.__file__).with_suffix(".pyi")
    imported = [
        node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    names = [(alias.name, alias.asname) for node in imported for alias in node.names]
    assert all(name == shown for name, shown in names)
    assert sorted(name for name, _ in names) == sorted(quavf.__all__)


@pytest.mark.parametrize(("former", "name"), vars(quavf)["_RENAMED"].items())
def test_former_names_still_work(former: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"quavf.{former} is now quavf.{name}"):
        assert getattr(quavf, former) is getattr(quavf, name)
    assert former not in dir(quavf)


def test_package_is_marked_as_typed() -> None:
    assert (Path(quavf.__file__).parent / "py.typed").is_file()


def test_version_is_the_project_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert quavf.__version__ == project["project"]["version"]


@pytest.mark.parametrize(
    "statement", ["import quavf", "import quavf.cli", "from quavf import QuavfError"]
)
def test_import_is_light(statement: str) -> None:
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "quavf" in loaded
    assert not loaded & set(HEAVY)
