"""Options of inference: which library runs the networks, how precisely, and where."""

from __future__ import annotations

from dataclasses import dataclass

from quavf.core.errors import ConfigError
from quavf.core.records import SPLITS

RUNTIMES = ("auto", "torch", "onnx", "openvino")
CPU_ONLY = ("onnx", "openvino")  # runtimes
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How networks run.

    Raises ConfigError for unknown values and impossible combinations.

    Args:
        runtime: Library that runs the networks: torch, onnx (ONNX Runtime) or openvino; auto: the
            library of their format for exported models, ONNX Runtime for the package's weights and
            others of their architecture, torch for all else and on a GPU.
        precision: Arithmetic of the networks: fp32 or bf16.
        device: Torch device such as cpu, cuda or cuda:1; auto: a GPU if there is one and the
            runtime can use it. ONNX Runtime, OpenVINO and exported models run on the CPU only.
        threads: CPU threads; 0: one per core.
        batch_size: Face crops per batch.
        audio_batch_size: Audio windows of 30 s per batch.
    """

    runtime: str = "auto"
    precision: str = "fp32"
    device: str = "auto"
    threads: int = 0
    batch_size: int = 64
    audio_batch_size: int = 4

    def __post_init__(self) -> None:
        for name, known in (("runtime", RUNTIMES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name}: {getattr(self, name)!r} is not one of {', '.join(known)}"
                )
        if self.threads < 0:
            raise ConfigError(f"threads: {self.threads} is under 0; use 0 for one per core")
        for name in ("batch_size", "audio_batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is under 1")
        if self.runtime in CPU_ONLY:
            self.require_cpu(f"runtime: {self.runtime}")

    def require_cpu(self, what: str) -> None:
        """Raise ConfigError unless the networks can run on the CPU."""
        if self.device.partition(":")[0] not in ("cpu", "auto"):
            raise ConfigError(f"{what} runs on the CPU, not on {self.device}; use --device cpu")

    def require_torch_bf16(self) -> None:
        """Raise ConfigError where torch could only emulate bf16."""
        from quavf.models.devices import has_bf16

        if not has_bf16(self.device):
            raise no_bf16(self.device)


@dataclass(frozen=True)
class PredictConfig(InferenceConfig):
    """How a store is scored.

    Args:
        split: Score only the clips of this split: train, val or test; empty: all.
        quality: Scorer whose quality is used; empty: the only one in the store.
        all_faces: Score the faces outside labelled segments, too.
        whole_turns: Judge each labelled segment as a whole, by the cues branch and by the fusion:
            it is one person's turn to one addressee. False, with all_faces, or where silence is
            labelled, too: each moment for itself, as in raw video.
        encoder_heads: Heads of a published checkpoint's Whisper encoder; default: width / 64.
        n_heads: Heads of a published checkpoint's temporal attention; default: 8.
        backbone: Image network of a published checkpoint, a timm name; default: recognised.
    """

    split: str = ""
    quality: str = ""
    encoder_heads: int | None = None
    n_heads: int | None = None
    backbone: str | None = None
    all_faces: bool = False
    whole_turns: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in ("", *SPLITS):
            raise ConfigError(f"split: {self.split!r} is not train, val or test")
        for name in ("encoder_heads", "n_heads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: {value} is under 1; leave it out for the default")


def no_bf16(device: str) -> ConfigError:
    """The error for a device that would only emulate bf16."""
    return ConfigError(
        f"precision: this machine's {device} has no bf16 arithmetic, which would make it slower "
        "and less exact; use fp32"
    )
