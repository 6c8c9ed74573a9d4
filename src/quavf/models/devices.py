"""Devices and arithmetic that torch offers here."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from quavf.core.errors import ConfigError
from quavf.models.description import reason
from quavf.utils.extras import is_installed, require_torch

GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, WSL, AMD; Linux has one of them


def has_gpu() -> bool:
    """Whether torch can use a GPU; imports torch only where there may be one."""
    if "torch" not in sys.modules:
        may_have = not sys.platform.startswith("linux") or any(Path(f).exists() for f in GPU_FILES)
        if sys.platform == "darwin" or not may_have or not is_installed("torch"):
            return False
    import torch

    return torch.cuda.is_available()


def check_device(name: str) -> None:
    """Raise ConfigError for a device that does not exist."""
    if name == "cpu":
        return
    require_torch(f"device: {name!r}", "use --device cpu")
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device: {name!r} cannot be used ({reason(error)}); try cpu") from None


def has_bf16(device: str) -> bool:
    """Whether torch computes in bf16 on a device; what only emulates it does not count."""
    require_torch("precision: bf16", "use --precision fp32")
    import torch

    if device.partition(":")[0] == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if platform.machine().lower() in ("x86_64", "amd64"):
        return bool(torch.cpu._is_avx512_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def use_threads(threads: int) -> None:
    """Let torch, if it is in use, take so many CPU threads in this process; 0: its own choice."""
    if threads and "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
