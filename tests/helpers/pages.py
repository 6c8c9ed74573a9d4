"""Pages of the documentation: code blocks, links and headings, and data to run the code on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quavf.models.checkpoint import save_branch
from tests.helpers import face_videos
from tests.helpers.data import ROOT
from tests.helpers.published import tiny_audio, tiny_visual, write_published
from tests.helpers.stores import SEGMENTS, make_store, make_tiny_store

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*.md")),
    *sorted((ROOT / "src").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block of code; `line` is that of its first line of code, from 1."""

    language: str
    code: str
    line: int
    is_run: bool  # False: `<!-- not run: REASON -->` stands in the line above
    file: str = ""  # the file that it is, where `<!-- file: NAME -->` stands in the line above


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        above = text[: match.start()].rstrip("\n").rpartition("\n")[2]
        line = text.count("\n", 0, match.start(2)) + 1
        is_run = not re.match(r"<!-- not run: .+ -->$", above)
        file = re.match(r"<!-- file: (.+) -->$", above)
        yield Block(match[1], match[2], line, is_run, file[1] if file else "")


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the blocks of a page that are files below a folder."""
    found = [(folder / block.file, block.code) for block in blocks(page) if block.file]
    for path, code in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return [path for path, _ in found]


def data_names(page: Path) -> list[str]:
    """The data that a page's `<!-- test data: NAME, NAME -->` comments ask for."""
    comments = re.findall(r"<!-- test data: (.+?) -->", page.read_text())
    return list(dict.fromkeys(word for text in comments for word in re.split(", *", text)))


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the built site name them."""
    text = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ +(.+?) *$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    """Targets of all links and pictures that are not on the web."""
    text = FENCE.sub("", page.read_text())
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)


def write_store() -> dict[str, Any]:
    """Three clips of `val` with a dozen faces each."""
    faces = {1: range(0, 120, 15), 2: range(30, 96, 15)}
    clips = ("clip0", "clip1", "clip2")
    make_store(Path("STORE"), faces, SEGMENTS, n_samples=64_000, clips=clips, split="val")
    return {}


def write_labels() -> dict[str, Any]:
    """A clip of `train` and one of `val`, with labels that show in a face's colour."""
    make_tiny_store(Path("LABELS"), ("train", "val"))
    return {}


def write_runs() -> dict[str, Any]:
    save_branch(Path("runs/audio/best.safetensors"), tiny_audio())
    save_branch(Path("runs/visual/best.safetensors"), tiny_visual(size=64))
    return {}


def write_checkpoints() -> dict[str, Any]:
    write_published(Path("audio.ckpt"), tiny_audio())
    write_published(Path("visual.ckpt"), tiny_visual("resnet18"))
    return {}


def write_video() -> dict[str, Any]:
    face_videos.write_video(Path("dinner.mp4"), seconds=1.0)
    return {}


def write_labelled() -> dict[str, Any]:
    """A video with a table of boxes beside it, `frame,x,y,width,height,label`."""
    Path("videos").mkdir()
    face_videos.write_video(Path("videos/party.mp4"), seconds=1.0)
    Path("videos/party.csv").write_text("".join(f"{k},40,40,50,60,1\n" for k in range(0, 30, 5)))
    return {}


def make_crops() -> dict[str, Any]:
    crops = torch.zeros(2, 15, 3, 64, 64)
    return {"mel": torch.zeros(2, 80, 3000), "crops": crops, "quality": torch.tensor([0.3, 0.9])}


def make_regions() -> dict[str, Any]:
    return {"regions": [np.full((60, 50, 3), 128, np.uint8)]}


DATA: dict[str, Callable[[], dict[str, Any]]] = {
    "crops": make_crops,
    "labelled": write_labelled,
    "labels": write_labels,
    "none": dict,
    "published": write_checkpoints,
    "regions": make_regions,
    "runs": write_runs,
    "store": write_store,
    "video": write_video,
}
