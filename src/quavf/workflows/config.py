"""Options of the workflows that compose several stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, replace

from quavf.core.branches import CUES
from quavf.core.errors import ConfigError
from quavf.inference.config import InferenceConfig
from quavf.live.config import LiveConfig
from quavf.models.bundle import Bundle
from quavf.models.bundled import DEFAULT, choose_bundle
from quavf.results.config import MomentsConfig
from quavf.video.config import VideoConfig

MESH_RUNTIMES = ("auto", "openvino")  # libraries that run the face mesh
BESIDE = ("link", "copy", "none")
PACES = ("own", "fast")  # of files that play


@dataclass(frozen=True)
class RunConfig(InferenceConfig):
    """How a raw video is analysed.

    Args:
        weights: Weights that come with the package, by name, the folder of a bundle, or one on the
            Hub, `hf://owner/name[@revision]`; default: talk, or no more than `branches` if that
            names a checkpoint.
        branches: Checkpoints or exported models of single branches, by the branch's name, instead
            of those of `weights`; empty: leave the branch out.
        video: How faces are found, and how often they are scored.
        moments: How scores become moments; None: as the weights say.
        quality: Scorer of face quality: light, fan, or a registered one.
        annotated: Write annotated.mp4.
        report: Write report.html.
        beside: Video beside a report without annotated.mp4: link (a hard link to the original, or
            a copy on another disk), copy, or none. What browsers cannot play is converted.
        keep_store: Keep the crops and the sound (store/) after the run.
        every_branch: Run every branch on every face, needed or not.
        causal: Judge as a live session does, from the past and `look_ahead`, by the cues alone.
        look_ahead: Seconds of the future that a causal judgement waits for.
        audio: Short for the entry `audio` of `branches`.
        visual: Short for the entry `visual` of `branches`.
    """

    batch_size: int = field(default=32, kw_only=True)
    audio_batch_size: int = field(default=1, kw_only=True)
    audio: InitVar[str | None] = None
    visual: InitVar[str | None] = None
    weights: str | None = None
    branches: Mapping[str, str] = field(default_factory=dict)
    video: VideoConfig = field(default_factory=VideoConfig)
    moments: MomentsConfig | None = None
    quality: str = "light"
    annotated: bool = True
    report: bool = True
    beside: str = "link"
    keep_store: bool = False
    every_branch: bool = False
    causal: bool = False
    look_ahead: float = 0.3

    def __post_init__(self, audio: str | None, visual: str | None) -> None:
        super().__post_init__()
        if self.beside not in BESIDE:
            raise ConfigError(f"beside: {self.beside!r} is not one of {', '.join(BESIDE)}")
        LiveConfig(look_ahead=self.look_ahead)  # checks it
        short = {"audio": audio, "visual": visual}
        given = {name: path for name, path in short.items() if path is not None}
        object.__setattr__(self, "branches", {**self.branches, **given})

    def choose_bundle(self) -> Bundle:
        """The branches in use, their fusion and the settings of moments.

        Raises CheckpointError if the weights cannot be read, ConfigError without a branch.
        """
        bundle = choose_bundle(self.weights, self.branches, "run")
        if self.causal:
            bundle = keep_cues(bundle, "run --causal")
        if self.every_branch:
            bundle = replace(bundle, fallback=())
        return bundle if self.moments is None else replace(bundle, moments=self.moments)


def keep_cues(bundle: Bundle, command: str) -> Bundle:
    """The bundle with the branch that judges live alone, its own fusion of it and live moments.

    Raises ConfigError, which names the command, if it has none.
    """
    if CUES.name not in bundle.branches:
        raise ConfigError(
            f"{command}: the weights {bundle.name or 'given'} have no {CUES.name} branch, which "
            f"judges live; use {DEFAULT}"
        )
    kept = bundle.change({name: None for name in bundle.branches if name != CUES.name})
    return replace(kept, moments=kept.live or kept.moments)


@dataclass(frozen=True)
class LiveOptions:
    """How `quavf live` works.

    Args:
        look_ahead: Seconds of the future that a judgement waits for, 0 to 5.
        record: Folder for what `quavf run` writes, when the session ends; default: nothing is kept.
        pace: Pace of a file: own (as it plays) or fast (as fast as it can be judged).
        microphone: Microphone beside a camera: its name, default, or none.
        camera_size: Size of a camera's pictures, such as 1280x720; empty: the camera's choice.
    """

    look_ahead: float = 0.3
    record: str | None = None
    pace: str = "own"
    microphone: str = "default"
    camera_size: str = ""

    def __post_init__(self) -> None:
        LiveConfig(look_ahead=self.look_ahead)  # checks it
        if self.pace not in PACES:
            raise ConfigError(f"pace: {self.pace!r} is not one of {', '.join(PACES)}")
