"""All commands, by the groups in which `quavf --help` lists them."""

from __future__ import annotations

from quavf.cli import doctor, live, scores, serve, stores, training, videos
from quavf.cli.command import Command


def group_commands() -> dict[str, dict[str, Command]]:
    """The commands by group and name, those of plug-ins included. No plug-in is loaded."""
    from quavf.core.branches import branch_names
    from quavf.sources.registry import source_names

    return {
        "Raw video": {
            "run": videos.RUN,
            "live": live.LIVE,
            "serve": serve.SERVE,
            "report": videos.REPORT,
            "label": videos.LABEL,
            "demo": videos.DEMO,
        },
        "Data": {
            "simulate": stores.SIMULATE,
            **{f"prepare {name}": stores.make_prepare_command(name) for name in source_names()},
            "prepare simulated": stores.PREPARE_SIMULATED,
            "quality": stores.QUALITY,
            "cues": stores.CUES,
            "check": stores.CHECK,
        },
        "Models": {
            **{f"train {name}": training.make_train_command(name) for name in branch_names()},
            "bundle": scores.BUNDLE,
            "bundle push": scores.PUSH,
            "export": training.EXPORT,
        },
        "Scores": {
            "predict": scores.PREDICT,
            "import": scores.IMPORT,
            "fuse": scores.FUSE,
            "evaluate": scores.EVALUATE,
            "submit": scores.SUBMIT,
        },
        "Installation": {"doctor": doctor.DOCTOR},
    }


def list_commands() -> dict[str, Command]:
    """All commands by name, such as `run` or `train audio`."""
    return {name: c for group in group_commands().values() for name, c in group.items()}
