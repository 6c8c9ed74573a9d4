"""What runs a branch's networks, and in which precision: the options and what can be had."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from quavf.core.errors import ConfigError

RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Runtime:
    """How the networks of a branch run.

    `name` auto: torch for checkpoints, for exported models the library that their format is of.
    `device` is torch's; OpenVINO and exported models run on the CPU only. Raises ConfigError for
    what is not known, or cannot be had together.
    """

    name: str = "auto"
    precision: str = "fp32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for field, value, known in (
            ("runtime", self.name, RUNTIMES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise ConfigError(f"{field}: {value!r} is not one of {', '.join(known)}")
        if self.name == "openvino":
            self.require_cpu("runtime: openvino")

    def require_cpu(self, what: str) -> None:
        """Raise ConfigError unless the networks run on the CPU."""
        if self.device.partition(":")[0] != "cpu":
            raise ConfigError(f"{what} runs on the CPU, not on {self.device}; use --device cpu")

    def require_torch_bf16(self) -> None:
        """Raise ConfigError where torch could only emulate bf16."""
        import torch

        if torch.device(self.device).type == "cuda":
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        elif platform.machine().lower() in ("x86_64", "amd64"):
            able = torch.cpu._is_avx512_bf16_supported()
        else:
            able = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        if not able:
            raise no_bf16(self.device)


def no_bf16(device: str) -> ConfigError:
    return ConfigError(
        f"precision: this machine's {device} has no bf16 arithmetic, which would make it slower "
        "and less exact; use fp32"
    )
