"""Training recipes that come with the package: `recipes/<name>/<branch>.yaml`."""

from __future__ import annotations

from pathlib import Path

from quavf.core.errors import ConfigError

FOLDER = Path(__file__).parent


def recipe_names(branch: str) -> tuple[str, ...]:
    """Names of the recipes for a branch, sorted."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{branch}.yaml")))


def recipe_path(name: str, branch: str) -> Path:
    """The YAML file of a recipe. Raises ConfigError when there is none of that name."""
    if name not in recipe_names(branch):
        raise ConfigError(
            f"--recipe: {name!r} is not known; use one of {', '.join(recipe_names(branch))}, or "
            "--config with a file of your own"
        )
    return FOLDER / name / f"{branch}.yaml"
