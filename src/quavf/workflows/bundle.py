"""Make a bundle: branches in one folder, with a fusion that fits their scores."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import CUES, QUALITY, branch_names
from quavf.core.errors import ConfigError, ScoresError
from quavf.core.records import Floats, Ints
from quavf.models.bundle import BUNDLE_FILE, Bundle, find_fallback_fault
from quavf.models.bundled import load_bundle, weights_path
from quavf.results.config import MomentsConfig
from quavf.results.fusion import PUBLISHED
from quavf.results.scores import read_config
from quavf.results.stacker import Stacker, Start, fit_stacker
from quavf.utils.files import replace_folder, write_json
from quavf.workflows.labelled_rows import LabelledRows, join_rows, read_labelled_rows

log = logging.getLogger(__name__)

FOLDS = 5  # of the clips, to judge the fusion on clips that it was not fitted to
PERCEPTION = {
    "mesh": "face_mesh.onnx",
    "iris": "iris.onnx",
    "voice": "voice.onnx",
}  # what the cues are read with
HOLD = 1.0  # of the numbers that a fusion starts from, divided by the stretches it is fitted to
N_BINS = 15  # of the calibration error
CARD = "README.md"


@dataclass(frozen=True)
class FusionCheck:
    """One fusion on the rows it was fitted to, by clips left out in turn."""

    map: float  # mean average precision, 0 to 1
    log_loss: float  # mean, nats
    calibration_error: float  # expected, 0 to 1


@dataclass(frozen=True)
class BundleSummary:
    """The inputs of a bundle, and the worth of its fusion."""

    folder: Path
    branches: tuple[str, ...]
    rows: int
    positive: int
    clips: int
    published: FusionCheck
    learned: FusionCheck | None  # None: too few clips to leave some out
    turns: FusionCheck | None  # the fusion of whole turns, on their rows


def make_bundle(
    scores: Sequence[Path | str],
    out: Path | str,
    stores: Sequence[Path | str] | None = None,
    *,
    name: str = "",
    prior: float | None = None,
    moments: MomentsConfig | None = None,
    card: Path | str | None = None,
    foreign: Sequence[str] = (),
    spoken: bool = False,
    by_face: bool = True,
    turns: Sequence[Path | str] = (),
    start: Path | str = "",
    fallback: Sequence[str] | None = None,
    **branches: Path | str | None,
) -> BundleSummary:
    """Fit a fusion to the scores of validation clips, and write a bundle with it.

    `scores` are folders of `predict`, best with `all_faces`, of the same checkpoints; `stores` have
    the labels, default: those that were predicted. A row outside labelled segments counts as not
    talking to me. `prior` is the share of rows that talk to me for which the probabilities hold;
    default: as in these rows. `foreign` names branches that are expected to say less elsewhere than
    about these clips: a copy of the rows, with those branches' scores exchanged between rows, keeps
    the fusion from leaning on them. With `spoken`, for raw video, a row talks to me only while the
    person is labelled as speaking, not in the pauses of a segment. With `by_face`, face quality,
    mesh confidence and face size decide how much each branch counts. `turns` are folders of
    `predict` without `all_faces`, of the same stores: they give the bundle a second fusion, which
    judges labelled segments as wholes. `start` names weights whose fusion few labels then change
    only where they tell something; the moments, the fusion of whole turns and the fallback are
    theirs, too, unless given. `fallback` names branches that, in raw video, judge only what the
    cues cannot. The checkpoints are those that made the scores; `audio=...` and so on name other
    places of the same files. Raises ConfigError or ScoresError if things do not fit.
    """
    if prior is not None and not 0 < prior < 1:
        raise ConfigError(f"bundle: prior {prior} is not between 0 and 1")
    folders, of_turns = ([Path(folder) for folder in given] for given in (scores, turns))
    made = [read_config(folder) for folder in (*folders, *of_turns)]
    paths = _find_checkpoints((*folders, *of_turns), made, branches)
    rows = _read_rows(folders, made[: len(folders)], stores, spoken=spoken)
    inputs = [n for n in paths if n in rows.columns and not np.isnan(rows.columns[n]).all()]
    before = _read_start(start, inputs)
    learn = partial(_fit, before, inputs=inputs, prior=prior, foreign=foreign, by_face=by_face)
    whole, learn_turns = None, partial(_fit_turns, inputs=inputs)
    if of_turns:
        whole = _read_rows(of_turns, made[len(folders) :], stores, whole_turns=True)
    fresh = before or Bundle("", paths)
    bundle = replace(
        fresh,
        name=name or Path(out).resolve().name,
        branches=paths,
        fusion=learn(rows),
        moments=moments or fresh.moments,
        turns=learn_turns(whole) if whole else fresh.turns,
        fallback=_choose_fallback(fallback, before, paths),
        perception=PERCEPTION if CUES.name in paths else {},
    )
    write_bundle(bundle, Path(out), None if card is None else Path(card))
    turned = _check_left_out(whole, learn_turns) if whole else None
    return _summarise(Path(out), inputs, rows, _check_left_out(rows, learn), turned)


def _summarise(
    out: Path,
    inputs: Sequence[str],
    rows: LabelledRows,
    learned: FusionCheck | None,
    turns: FusionCheck | None,
) -> BundleSummary:
    published = _check(PUBLISHED.fuse(rows.columns), rows.labels)
    n_positive, n_clips = int(rows.labels.sum()), len(np.unique(rows.clip))
    return BundleSummary(
        out, tuple(inputs), len(rows), n_positive, n_clips, published, learned, turns
    )


def _read_start(weights: Path | str, inputs: Sequence[str]) -> Bundle | None:
    """The bundle whose fusion a new one starts from; None without a name.

    Raises ConfigError if it has no learned fusion of these inputs.
    """
    if not weights:
        return None
    bundle = load_bundle(weights)
    if not isinstance(bundle.fusion, Stacker) or not set(inputs) <= set(bundle.fusion.inputs):
        raise ConfigError(
            f"bundle: start {weights} has no learned fusion of {', '.join(inputs)}; leave it out"
        )
    return bundle


def _choose_fallback(
    given: Sequence[str] | None, start: Bundle | None, branches: Mapping[str, Path]
) -> tuple[str, ...]:
    """The fallback as given, else the start's; ConfigError if the branches do not allow it."""
    if given is None:
        before = start.fallback if start and CUES.name in branches else ()
        given = [name for name in before if name in branches]
    if fault := find_fallback_fault(given, branches):
        raise ConfigError(f"bundle: {fault}")
    return tuple(given)


def _read_rows(
    folders: Sequence[Path],
    made: Sequence[Mapping[str, Any]],
    stores: Sequence[Path | str] | None,
    *,
    spoken: bool = False,
    whole_turns: bool = False,
) -> LabelledRows:
    """The labelled rows of all scores folders, each with the store of its labels."""
    chosen = [Path(s) for s in stores or [content.get("store", "") for content in made]]
    if len(chosen) != len(folders):
        raise ConfigError(f"bundle: {len(folders)} scores, but {len(chosen)} stores; give pairs")
    return join_rows(
        [
            read_labelled_rows(folder, store, spoken=spoken, whole_turns=whole_turns)
            for folder, store in zip(folders, chosen, strict=True)
        ]
    )


def write_bundle(bundle: Bundle, folder: Path, card: Path | None = None) -> None:
    """Copy a bundle's checkpoints into a folder, as `<branch>.safetensors`, with `bundle.json`."""
    from quavf.inference.loading import model_files

    with replace_folder(folder) as temporary:
        names = {}
        for name, path in bundle.branches.items():
            first, *others = model_files(path)
            names[name] = Path(f"{name}{first.suffix}")
            shutil.copyfile(first, temporary / names[name])
            for file in others:
                shutil.copyfile(file, temporary / file.name.replace(first.stem, name, 1))
        if card is not None:
            shutil.copyfile(card, temporary / CARD)
        done = replace(bundle, branches=names, card=Path(CARD) if card else None)
        write_json(temporary / BUNDLE_FILE, done.to_json())


def _find_checkpoints(
    folders: Sequence[Path],
    made: Sequence[Mapping[str, Any]],
    branches: Mapping[str, Path | str | None],
) -> dict[str, Path]:
    """The checkpoint of each branch that made the scores; all folders must agree."""
    found: dict[str, Path] = {}
    for name in branch_names():
        described = [content.get(name) or {} for content in made]
        sums = {content.get("sha256") for content in described}
        if len(sums) > 1:
            raise ConfigError(
                f"bundle: {' and '.join(map(str, folders))} were made with different checkpoints "
                f"of the {name} branch; predict again with one"
            )
        if sums == {None}:
            continue
        given = branches.get(name)
        path = weights_path(given, name) if given else Path(described[0]["checkpoint"])
        if not path.exists():
            raise ConfigError(f"bundle: {path} does not exist; say where it is with --{name}")
        found[name] = path
    if not found:
        raise ScoresError(
            f"{folders[0]}: does not say which checkpoints made it; give scores of `quavf predict`"
        )
    return found


def _fit(
    start: Bundle | None,
    rows: LabelledRows,
    *,
    inputs: Sequence[str],
    prior: float | None,
    foreign: Sequence[str],
    by_face: bool,
) -> Stacker:
    """The fusion of rows, for a share of them that talk to me."""
    from quavf.inference.measures import MEASURES

    labels, columns = rows.labels, rows.columns
    if foreign:
        columns = _add_foreign_rows(columns, foreign)
        labels = np.concatenate([labels, labels])
    weights = None
    if prior is not None:
        share = labels.mean()
        weights = np.where(labels == 1, prior / share, (1 - prior) / (1 - share))
    seen = [n for n in (QUALITY, *MEASURES) if n in columns and not np.isnan(columns[n]).all()]
    before = None
    if start is not None:
        assert isinstance(start.fusion, Stacker)
        before = Start(start.fusion, HOLD / _count_stretches(rows))
    return fit_stacker(inputs, seen if by_face else (), columns, labels, weights, before)


def _count_stretches(rows: LabelledRows) -> int:
    """Count the stretches of rows with one label, in which rows mostly repeat each other."""
    changes = (np.diff(rows.labels) != 0) | (np.diff(rows.clip) != 0)
    return 1 + int(changes.sum())


def _fit_turns(rows: LabelledRows, inputs: Sequence[str]) -> Stacker:
    """The fusion of whole turns, which are too few to learn what decides a score's weight."""
    return fit_stacker(inputs, (), rows.columns, rows.labels)


def _add_foreign_rows(columns: Mapping[str, Floats], foreign: Sequence[str]) -> dict[str, Floats]:
    """The rows (N,), then the same with the foreign branches' scores in another order; (2 N,)."""
    n_rows = len(next(iter(columns.values())))
    order = np.random.default_rng(0).permutation(n_rows)
    return {
        name: np.concatenate([values, values[order] if name in foreign else values])
        for name, values in columns.items()
    }


def _check_left_out(
    rows: LabelledRows, learn: Callable[[LabelledRows], Stacker]
) -> FusionCheck | None:
    """The fusion on each fold of the clips, fitted to the others; None with too few clips.

    Rows in folds whose other clips are all of one class are left out.
    """
    fused = np.full(len(rows), np.nan)
    for fold in range(FOLDS):
        held = rows.clip % FOLDS == fold
        if held.any() and len(np.unique(rows.labels[~held])) == 2:
            fused[held] = learn(rows.part(~held)).fuse(rows.columns_of(held))
    return (
        _check(fused, rows.labels) if len(np.unique(rows.labels[~np.isnan(fused)])) == 2 else None
    )


def _check(fused: Floats, labels: Ints) -> FusionCheck:
    from quavf.evaluation.calibration import bin_by_score, compute_calibration_error
    from quavf.evaluation.metrics import mean_average_precision

    known = ~np.isnan(fused)
    p, truth = fused[known], labels[known]
    inside = np.clip(p, 1e-6, 1 - 1e-6)
    return FusionCheck(
        mean_average_precision(truth, p, ties="safe"),
        float(-np.log(np.where(truth == 1, inside, 1 - inside)).mean()),
        compute_calibration_error(bin_by_score(truth, p, N_BINS)),
    )
