"""Upload a bundle to the Hugging Face Hub, with a model card."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quavf.core.branches import branch_specs
from quavf.core.errors import ConfigError
from quavf.models.bundle import Bundle
from quavf.models.bundled import load_bundle
from quavf.models.hub import CARD, SAFE_SUFFIXES, SCHEME, push_folder
from quavf.utils.files import read_json, write_text
from quavf.workflows.bundle import write_bundle

METRICS = "metrics.json"
LIMITS = "Do not use it to judge people, or where an error does harm."


@dataclass(frozen=True)
class PushSummary:
    """The files that were uploaded, and where they are."""

    repository: str
    address: str
    files: tuple[str, ...]
    bytes: int


def push_bundle(
    folder: Path | str,
    repository: str,
    *,
    private: bool = False,
    evaluation: Path | str | None = None,
    licence: str = "",
    data: str = "",
    message: str = "",
) -> PushSummary:
    """Upload a bundle as one commit to `owner/name`, made if it is missing; needs quavf[hub].

    `folder` is a bundle or the name of weights. All of its files go into one folder, also those
    that it takes from elsewhere. The model card is the bundle's own, or a new one, and says how to
    load it, the figures of `evaluation` (a folder of `quavf evaluate`), the `licence` (such as
    mit), and the training `data`. Raises ConfigError for files that could execute code and if the
    upload fails, CheckpointError for an unreadable bundle.
    """
    bundle = load_bundle(folder)
    for name, path in bundle.branches.items():
        if path.is_file() and path.suffix not in SAFE_SUFFIXES:
            raise ConfigError(
                f"bundle push: branches.{name}: {path} may execute code when it is loaded; save it "
                f"as {' or '.join(SAFE_SUFFIXES)} first (see `save_branch` and `quavf export`)"
            )
    metrics = None if evaluation is None else _read_metrics(Path(evaluation))
    with tempfile.TemporaryDirectory(prefix="quavf-") as temporary:
        ready = Path(temporary) / "bundle"
        card = Path(temporary) / CARD
        write_text(card, write_card(bundle, repository, metrics, licence, data))
        write_bundle(bundle, ready, card)
        files = sorted(path for path in ready.iterdir() if path.is_file())
        n_bytes = sum(path.stat().st_size for path in files)
        text = message or f"Upload {bundle.name} with quavf"
        address = push_folder(ready, repository, private, text)
    return PushSummary(repository, address, tuple(path.name for path in files), n_bytes)


def write_card(
    bundle: Bundle, repository: str, metrics: dict[str, Any] | None, licence: str, data: str
) -> str:
    """The text of a model card: facts for the Hub, the bundle's own card, and what it lacks."""
    facts = {
        "library_name": "quavf",
        "pipeline_tag": "video-classification",
        "tags": ["talking-to-me", "egocentric-video", "active-speaker-detection"],
        **({"license": licence} if licence else {}),
        **({"model-index": _index(bundle.name, metrics)} if metrics else {}),
    }
    head = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items()]
    own = _read_card(bundle)
    sections = [_strip_facts(own).strip() or _introduce(bundle), _explain_loading(repository)]
    if metrics:
        sections.append(_tabulate(metrics))
    if data:
        sections.append(f"## Training data\n\n{data.strip()}")
    if licence:
        sections.append(f"## Licence\n\n{licence}")
    if LIMITS.split(",")[0].lower() not in own.lower() and "Do not use them" not in own:
        sections.append(f"## Limits\n\n{LIMITS}")
    return "\n".join(["---", *head, "---", ""]) + "\n" + "\n\n".join(sections) + "\n"


def _read_card(bundle: Bundle) -> str:
    """The bundle's own card; empty if it has none."""
    if bundle.card is None or not bundle.card.is_file():
        return ""
    return bundle.card.read_text(encoding="utf-8", errors="replace")


def _strip_facts(card: str) -> str:
    """Strip the facts at the head of a card, which are written again."""
    if not card.startswith("---\n"):
        return card
    return card.partition("---\n")[2].partition("\n---\n")[2]


def _introduce(bundle: Bundle) -> str:
    rows = "".join(
        f"| {spec.name} | {spec.summary} | {bundle.branches[spec.name].suffix[1:]} |\n"
        for spec in branch_specs()
        if spec.name in bundle.branches
    )
    kind = bundle.fusion.to_json()["kind"]
    return (
        f"# {bundle.name}\n\nWeights of [quavf](https://arxiv.org/abs/2306.17404): is this person "
        "talking to me, the camera wearer?\n\n| branch | judges by | file |\n|---|---|---|\n"
        f"{rows}\nFusion of the branches' scores: {kind}. A moment starts at a score of "
        f"{bundle.moments.threshold:g}."
    )


def _explain_loading(repository: str) -> str:
    return (
        f"## Use\n\n```\npip install 'quavf[hub]'\nquavf run dinner.mp4 --out out --weights "
        f"{SCHEME}{repository}\n```\n\n```python\nimport quavf\n\nrun = "
        f'quavf.load("{SCHEME}{repository}").run("dinner.mp4")\n```'
    )


def _read_metrics(folder: Path) -> dict[str, Any]:
    """Read what `quavf evaluate` wrote. Raises ConfigError if it is not there or another file."""
    path = folder / METRICS
    if not path.is_file():
        raise ConfigError(f"{folder}: no {METRICS} here; give a folder that `quavf evaluate` wrote")
    content = read_json(path)
    systems = content.get("frame") if isinstance(content, dict) else None
    if not isinstance(systems, dict) or not all(isinstance(v, dict) for v in systems.values()):
        raise ConfigError(f"{path}: frame: expected the figures of systems; evaluate again")
    return {name: figures for name, figures in systems.items() if figures.get("map") is not None}


def _tabulate(metrics: dict[str, Any]) -> str:
    """A table of the figures of each system, by frames."""
    lines = []
    for name, figures in metrics.items():
        ends = figures.get("map_ci")
        interval = f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else ""
        accuracy, error = (figures.get(key) for key in ("accuracy", "ece"))
        lines.append(
            f"| {name} | {100 * figures['map']:.1f}{interval} | {_percent(accuracy)} | "
            f"{'–' if error is None else f'{error:.3f}'} | {figures.get('n_rows', 0):,} | "
            f"{figures.get('n_clips', 0):,} |"
        )
    return (
        "## Figures\n\nOf `quavf evaluate`, by frames of labelled segments; mAP and accuracy in "
        "%, with the interval by clip.\n\n| system | mAP | accuracy | calibration error | rows | "
        "clips |\n|---|---|---|---|---|---|\n" + "\n".join(lines)
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _index(name: str, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The figure that the Hub shows: mAP of the fused score, or of the first system."""
    system = "fused" if "fused" in metrics else next(iter(metrics), None)
    if system is None:
        return []
    figure = {"type": "mean_average_precision", "value": round(metrics[system]["map"], 4)}
    task = {"type": "video-classification", "name": "talking to me"}
    dataset = {"type": "validation", "name": "labelled frames of quavf evaluate"}
    result = {"task": task, "dataset": dataset, "metrics": [{**figure, "name": f"mAP, {system}"}]}
    return [{"name": name, "results": [result]}]
