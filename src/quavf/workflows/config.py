"""Options of the workflows that compose several stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from quavf.core.branches import branch_names
from quavf.inference.config import InferenceConfig
from quavf.models.bundled import DEFAULT
from quavf.results.config import MomentsConfig
from quavf.video.config import VideoConfig


@dataclass(frozen=True)
class RunConfig(InferenceConfig):
    """How a raw video is analysed.

    Args:
        audio: Checkpoint or exported model of the audio branch, or small; empty: leave it out.
        visual: Checkpoint or exported model of the visual branch, or small; empty: leave it out.
        video: How faces are found, and how often they are scored.
        moments: How scores become moments.
        quality: Scorer of face quality: light, fan, or a registered one.
        annotated: Write annotated.mp4.
        report: Write report.html.
        keep_store: Keep the crops and the sound (store/) after the run.
        branches: Checkpoints of further branches, by name.
    """

    batch_size: int = field(default=32, kw_only=True)
    audio_batch_size: int = field(default=1, kw_only=True)
    audio: str = DEFAULT
    visual: str = DEFAULT
    video: VideoConfig = field(default_factory=VideoConfig)
    moments: MomentsConfig = field(default_factory=MomentsConfig)
    quality: str = "light"
    annotated: bool = True
    report: bool = True
    keep_store: bool = False
    branches: Mapping[str, str] = field(default_factory=dict)

    @property
    def checkpoints(self) -> dict[str, str]:
        """The checkpoints of all branches in use, by name."""
        given = {"audio": self.audio, "visual": self.visual, **self.branches}
        return {name: given[name] for name in branch_names() if given.get(name)}

    def with_checkpoints(self, checkpoints: Mapping[str, str]) -> RunConfig:
        """The same with these checkpoints, by branch, and no others."""
        others = {n: path for n, path in checkpoints.items() if n not in ("audio", "visual")}
        return replace(
            self,
            audio=checkpoints.get("audio", ""),
            visual=checkpoints.get("visual", ""),
            branches=others,
        )
