"""Is this person talking to me? Talking-to-me detection in egocentric video.

Each command of `quavf` is a call of one function here. A name is loaded when it is first used, so
that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from quavf.errors import QuavfError

if TYPE_CHECKING:
    from quavf.branches.checkpoint import load_branch
    from quavf.branches.export import export
    from quavf.branches.train import train_audio, train_visual
    from quavf.clip_reports import report_clips
    from quavf.config import (
        AudioConfig,
        AugmentConfig,
        TrainAudioConfig,
        TrainerConfig,
        TrainVisualConfig,
        VisualConfig,
    )
    from quavf.engine import EngineConfig
    from quavf.evaluation import EvaluateConfig
    from quavf.pipeline import PredictConfig, check_submission, evaluate, predict, write_submission
    from quavf.pipeline import fuse_folders as fuse
    from quavf.prepare import prepare_challenge, prepare_ego4d
    from quavf.quality import import_quality, score_quality
    from quavf.run import RunConfig, load, run_video
    from quavf.simulated import prepare_simulated
    from quavf.windows import WindowConfig

__version__ = "0.1.0"

__all__ = [
    "AudioConfig",
    "AugmentConfig",
    "EngineConfig",
    "EvaluateConfig",
    "PredictConfig",
    "QuavfError",
    "RunConfig",
    "TrainAudioConfig",
    "TrainVisualConfig",
    "TrainerConfig",
    "VisualConfig",
    "WindowConfig",
    "check_submission",
    "evaluate",
    "export",
    "fuse",
    "import_quality",
    "load",
    "load_branch",
    "predict",
    "prepare_challenge",
    "prepare_ego4d",
    "prepare_simulated",
    "report_clips",
    "run_video",
    "score_quality",
    "train_audio",
    "train_visual",
    "write_submission",
]

_MODULES = {  # where a name comes from; under another name there: `module:name`
    "AudioConfig": "config",
    "AugmentConfig": "config",
    "EngineConfig": "engine",
    "EvaluateConfig": "evaluation",
    "PredictConfig": "pipeline",
    "RunConfig": "run",
    "TrainAudioConfig": "config",
    "TrainVisualConfig": "config",
    "TrainerConfig": "config",
    "VisualConfig": "config",
    "WindowConfig": "windows",
    "check_submission": "pipeline",
    "evaluate": "pipeline",
    "export": "branches.export",
    "fuse": "pipeline:fuse_folders",
    "import_quality": "quality",
    "load": "run",
    "load_branch": "branches.checkpoint",
    "predict": "pipeline",
    "prepare_challenge": "prepare",
    "prepare_ego4d": "prepare",
    "prepare_simulated": "simulated",
    "report_clips": "clip_reports",
    "run_video": "run",
    "score_quality": "quality",
    "train_audio": "branches.train",
    "train_visual": "branches.train",
    "write_submission": "pipeline",
}

if not TYPE_CHECKING:  # a type checker knows the names from above, and reports any other

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, other = _MODULES[name].partition(":")
        value = getattr(import_module(f"{__name__}.{module}"), other or name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
