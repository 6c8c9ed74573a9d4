"""Is this person talking to me? Talking-to-me detection in egocentric video.

Each command of `quavf` is a call of one function here. A name is loaded when it is first used, so
that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from quavf.core.errors import QuavfError
from quavf.core.version import __version__ as __version__

if TYPE_CHECKING:
    from quavf.core.windows import WindowConfig
    from quavf.evaluation.config import EvaluateConfig
    from quavf.inference.config import PredictConfig
    from quavf.inference.export import export
    from quavf.models.checkpoint import load_branch
    from quavf.models.config import AudioConfig, VisualConfig
    from quavf.training.config import (
        AugmentConfig,
        TrainAudioConfig,
        TrainerConfig,
        TrainVisualConfig,
    )
    from quavf.training.train import train_audio, train_visual
    from quavf.utils.parallel import EngineConfig
    from quavf.workflows.config import RunConfig
    from quavf.workflows.evaluate import evaluate
    from quavf.workflows.fuse import fuse
    from quavf.workflows.predict import predict
    from quavf.workflows.prepare import prepare_challenge, prepare_ego4d
    from quavf.workflows.prepare_simulated import prepare_simulated
    from quavf.workflows.quality import import_quality, score_quality
    from quavf.workflows.report_clips import report_clips
    from quavf.workflows.run import load, run_video
    from quavf.workflows.submit import check_submission, write_submission

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
    "AudioConfig": "models.config",
    "AugmentConfig": "training.config",
    "EngineConfig": "utils.parallel",
    "EvaluateConfig": "evaluation.config",
    "PredictConfig": "inference.config",
    "RunConfig": "workflows.config",
    "TrainAudioConfig": "training.config",
    "TrainVisualConfig": "training.config",
    "TrainerConfig": "training.config",
    "VisualConfig": "models.config",
    "WindowConfig": "core.windows",
    "check_submission": "workflows.submit",
    "evaluate": "workflows.evaluate",
    "export": "inference.export",
    "fuse": "workflows.fuse",
    "import_quality": "workflows.quality",
    "load": "workflows.run",
    "load_branch": "models.checkpoint",
    "predict": "workflows.predict",
    "prepare_challenge": "workflows.prepare",
    "prepare_ego4d": "workflows.prepare",
    "prepare_simulated": "workflows.prepare_simulated",
    "report_clips": "workflows.report_clips",
    "run_video": "workflows.run",
    "score_quality": "workflows.quality",
    "train_audio": "training.train",
    "train_visual": "training.train",
    "write_submission": "workflows.submit",
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
