"""Bundles: folders with the checkpoints of branches, and how to use their scores.

`bundle.json` lists the branches' files, the fusion and the settings of moments; see
docs/reference/formats.md. A folder without it holds `<branch>.safetensors`, fused by the published
formula.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quavf.core.branches import CUES, branch_names
from quavf.core.config import from_dict, to_dict
from quavf.core.errors import CheckpointError, QuavfError
from quavf.results.config import MomentsConfig
from quavf.results.fusion import PUBLISHED, Fusion, read_fusion
from quavf.utils.files import read_json

FORMAT = 1
BUNDLE_FILE = "bundle.json"
SUFFIX = ".safetensors"
FIELDS = (
    "format",
    "name",
    "branches",
    "fallback",
    "fusion",
    "turns",
    "moments",
    "live",
    "perception",
    "card",
)


@dataclass(frozen=True)
class Bundle:
    """Checkpoints by branch, and how to use their scores.

    Args:
        name: What reports call it.
        branches: The checkpoint or exported model of each branch, in the order of `branch_names`.
        fusion: How the branches' scores become the fused score.
        moments: How fused scores become moments.
        turns: How the means of a labelled segment's scores become its fused score; None: each row
            is fused for itself.
        live: The same of live sessions and causal runs, whose scores come from the cues alone;
            None: as `moments`.
        perception: Files of the package that the branches see and hear with, by what they do.
        card: The model card; None: there is none.
        fallback: Branches that, in raw video, judge only the faces and times that the cues cannot.
    """

    name: str
    branches: Mapping[str, Path]
    fusion: Fusion = PUBLISHED
    moments: MomentsConfig = field(default_factory=MomentsConfig)
    turns: Fusion | None = None
    perception: Mapping[str, str] = field(default_factory=dict)
    card: Path | None = None
    live: MomentsConfig | None = None
    fallback: tuple[str, ...] = ()

    def change(self, branches: Mapping[str, Path | None]) -> Bundle:
        """The bundle with other checkpoints for some branches; None leaves a branch out.

        The fusion and the moments fit the bundle's own checkpoints: with another one among them,
        the published formula and the default moments take their place.
        """
        merged = {**self.branches, **branches}
        chosen = {name: path for name in branch_names() if (path := merged.get(name)) is not None}
        kept = tuple(name for name in self.fallback if name in chosen)
        changed = replace(self, branches=chosen, fallback=kept if CUES.name in chosen else ())
        if all(self.branches.get(name) == path for name, path in chosen.items()):
            return changed
        usual = MomentsConfig()
        return replace(changed, fusion=PUBLISHED, moments=usual, turns=None, live=None, fallback=())

    def to_json(self) -> dict[str, Any]:
        """Everything but the branches' weights, as plain values."""
        return {
            "format": FORMAT,
            "name": self.name,
            "branches": {name: path.name for name, path in self.branches.items()},
            **({"fallback": list(self.fallback)} if self.fallback else {}),
            "fusion": self.fusion.to_json(),
            **({"turns": self.turns.to_json()} if self.turns else {}),
            "moments": to_dict(self.moments),
            **({"live": to_dict(self.live)} if self.live else {}),
            "perception": dict(self.perception),
            "card": self.card.name if self.card else None,
        }


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's folder. Raises CheckpointError that names the file and the field."""
    folder = Path(folder)
    path = folder / BUNDLE_FILE
    if not path.is_file():
        return _list_checkpoints(folder)
    try:
        return _parse(folder, read_json(path))
    except CheckpointError:
        raise
    except QuavfError as error:
        raise CheckpointError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _list_checkpoints(folder: Path) -> Bundle:
    """The bundle of a folder that holds `<branch>.safetensors` and no more."""
    paths = {name: folder / f"{name}{SUFFIX}" for name in branch_names()}
    found = {name: path for name, path in paths.items() if path.is_file()}
    if not found:
        names = " or ".join(path.name for path in paths.values())
        raise CheckpointError(f"{folder}: no checkpoint here; expected {BUNDLE_FILE}, {names}")
    return Bundle(folder.resolve().name, found)


def _parse(folder: Path, content: Any) -> Bundle:
    path = folder / BUNDLE_FILE
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else content
        raise CheckpointError(
            f"{path}: format {found!r:.40}, this version reads {FORMAT}; update quavf or make the "
            "bundle again"
        )
    if unknown := sorted(set(content) - set(FIELDS)):
        raise CheckpointError(f"{path}: unknown field {unknown[0]!r}; known are {list(FIELDS)}")
    card = content.get("card")
    branches = _parse_branches(folder, content.get("branches"))
    fallback = content.get("fallback") or []
    if fault := find_fallback_fault(fallback, branches):
        raise CheckpointError(f"{path}: {fault}")
    return Bundle(
        name=str(content.get("name") or folder.resolve().name),
        branches=branches,
        fallback=tuple(fallback),
        fusion=read_fusion(content.get("fusion")),
        turns=read_fusion(content["turns"]) if content.get("turns") else None,
        moments=from_dict(MomentsConfig, content.get("moments") or {}, "moments"),
        live=from_dict(MomentsConfig, content["live"], "live") if content.get("live") else None,
        perception=_check_names(path, "perception", content.get("perception") or {}),
        card=folder / str(card) if card else None,
    )


def _parse_branches(folder: Path, value: Any) -> dict[str, Path]:
    """The checkpoints by branch: files of the folder."""
    path = folder / BUNDLE_FILE
    files = _check_names(path, "branches", value)
    unknown = sorted(set(files) - set(branch_names()))
    if unknown:
        raise CheckpointError(
            f"{path}: branches: no branch {unknown[0]!r} is installed; there are "
            f"{', '.join(branch_names())}"
        )
    if not files:
        raise CheckpointError(f"{path}: branches: empty; list a file for one branch or more")
    listed = [name for name in branch_names() if name in files]
    found = {name: Path(os.path.normpath(folder / files[name])) for name in listed}
    for name, file in found.items():
        if not file.exists():
            raise CheckpointError(f"{path}: branches.{name}: {file} does not exist")
    return found


def find_fallback_fault(fallback: Any, branches: Mapping[str, Path]) -> str:
    """What is wrong with a `Bundle.fallback` of these branches; empty: nothing."""
    others = [name for name in branches if name != CUES.name]
    if not isinstance(fallback, list | tuple) or not all(name in others for name in fallback):
        known = ", ".join(others) or "no branches"
        return f"fallback: expected a list of some of {known}, found {fallback!r:.60}"
    if fallback and CUES.name not in branches:
        return f"fallback: there is no branch {CUES.name} to stand in for"
    return ""


def _check_names(path: Path, where: str, value: Any) -> dict[str, str]:
    """An object whose values are texts."""
    if not isinstance(value, dict) or not all(isinstance(v, str) and v for v in value.values()):
        raise CheckpointError(
            f"{path}: {where}: expected an object of file names, found {value!r:.60}"
        )
    return dict(value)
