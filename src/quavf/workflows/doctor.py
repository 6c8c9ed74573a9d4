"""Examine this installation: what is there, what is missing, and for which command.

Libraries are imported in processes of their own: one that is broken, or built for another
processor, is a finding and not the end.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from quavf.core.version import __version__

Result = TypeVar("Result")

PURPOSES = {  # of the extras; those of developers are left out
    "fan": "quavf quality --scorer fan",
    "formats": "quavf report --format elan, vtt or textgrid",
    "hub": "--weights hf://owner/name, and quavf bundle push",
    "live": "quavf serve and quavf label",
    "onnx": "quavf export --format onnx",
    "openvino": "--runtime openvino",
    "ray": "--engine ray",
    "simulate": "quavf simulate, prepare simulated and demo",
    "train": "quavf train and export, checkpoints of any architecture, and GPUs",
}
FOR_DEVELOPERS = ("dev", "docs")
RUNTIMES = ("onnxruntime", "openvino", "torch")
VIDEO_CODECS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mjpeg", "prores")
SOUND_CODECS = ("aac", "opus", "mp3", "vorbis", "flac", "ac3", "pcm_s16le")
CODECS = f"""
import av, json
def reads(name):
    for other in (name, "lib" + name, "libdav1d" if name == "av1" else name):
        try:
            return bool(av.Codec(other, "r"))
        except Exception:
            pass
    return False
print(json.dumps([name for name in {(*VIDEO_CODECS, *SOUND_CODECS)} if reads(name)]))
"""
ONNX_RUNTIME = """
import json
from quavf.utils.onnxruntime import onnxruntime
print(json.dumps(onnxruntime().get_available_providers()))
"""
PROBES = {  # by module: what a process of its own tells of it, as JSON
    "av": CODECS,
    "cv2": "import cv2, json; print(json.dumps(cv2.__version__))",
    "onnxruntime": ONNX_RUNTIME,
    "pyarrow": "import pyarrow.parquet as p, json; print(json.dumps(bool(p)))",
}
PATIENCE_S = 120.0  # for one import, on a busy machine
LITTLE_GB = 2.0  # of free space


@dataclass(frozen=True)
class Examination:
    """The state of an installation.

    `problems` keep `quavf run` from working, `notes` are worth knowing.
    """

    system: Mapping[str, Any]  # versions, cores, memory_gb, bf16, gpu
    libraries: Mapping[str, str | None]  # version of each, by distribution; None: not installed
    codecs: tuple[str, ...]  # that can be decoded
    weights: Mapping[str, list[str]]  # branches, by name
    missing: Mapping[str, list[str]]  # what each incomplete extra lacks
    free_gb: Mapping[str, float]  # by folder
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def can_run(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**vars(self), "can_run": self.can_run}


@dataclass
class _Findings:
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def try_to(self, what: str, examine: Callable[[], Result], default: Result) -> Result:
        """The result of an examination; one that fails is a note."""
        try:
            return examine()
        except Exception as error:  # of any kind: the rest is still examined
            text = " ".join(str(error).split())[:200]
            self.notes.append(f"{what} could not be examined ({type(error).__name__}: {text})")
            return default


def examine() -> Examination:
    """Examine the installation and the machine; never raises an error for what it finds."""
    found = _Findings()
    with ThreadPoolExecutor() as pool:  # the processes work meanwhile
        probes = {name: pool.submit(_probe, name) for name in PROBES}
        system = found.try_to("the machine", _describe_system, dict[str, Any]())
        nothing: dict[str, dict[str, str]] = {}
        wanted = found.try_to("the installation", _list_requirements, nothing)
        versions = {name: _find_version(name) for own in wanted.values() for name in own}
        free = found.try_to("the disk", _measure_free_gb, dict[str, float]())
        none: dict[str, list[str]] = {}
        weights = found.try_to("the weights", lambda: _read_weights(found), none)
        answers = {name: found.try_to(name, probe.result, None) for name, probe in probes.items()}
    missing = {
        extra: lacking
        for extra, own in wanted.items()
        if (lacking := [name for name, least in own.items() if not _is_enough(name, least)])
    }
    found.problems += [
        f"{name} is missing or too old; install quavf again" for name in missing.pop("", [])
    ]
    found.problems += [str(a["error"]) for a in answers.values() if a and a.get("error")]
    codecs = tuple((answers["av"] or {}).get("answer") or ())
    if codecs and not {"h264", "aac"} <= set(codecs):
        found.notes.append("PyAV lacks h264 or aac: most videos cannot be read; install its wheel")
    found.notes += [
        f"only {gb:.1f} GB are free in {folder}" for folder, gb in free.items() if gb < LITTLE_GB
    ]
    if system.get("gpu") and "+cpu" in (versions.get("torch") or ""):
        found.notes.append("there is a GPU, but torch is built for the CPU alone")
    return Examination(
        system,
        versions,
        codecs,
        weights,
        missing,
        free,
        tuple(dict.fromkeys(found.problems)),
        tuple(found.notes),
    )


def describe(found: Examination) -> str:
    """An examination in plain words, one line for each finding."""
    system, have = found.system, found.libraries
    cores, memory = system.get("cores", "?"), system.get("memory_gb")
    bf16 = {True: "bf16 arithmetic", False: "no bf16 arithmetic"}.get(system.get("bf16", ""), "")
    parts = [f"{cores} cores", f"{memory:.0f} GB memory" if memory else "", bf16]
    parts.append(f"GPU: {system['gpu']}" if system.get("gpu") else "no NVIDIA GPU found")
    runtimes = [f"{name} {have[name]}" for name in RUNTIMES if have.get(name)]
    video = [name for name in VIDEO_CODECS if name in found.codecs]
    sound = [name for name in SOUND_CODECS if name in found.codecs]
    weights = [f"{name} ({', '.join(own)})" for name, own in found.weights.items()]
    free = [f"{gb:.0f} GB in {folder}" for folder, gb in found.free_gb.items()]
    lines = [
        f"quavf {__version__}, Python {system.get('python', '?')}, {system.get('platform', '?')}",
        f"Machine: {', '.join(filter(None, parts))}",
        f"Runs networks with: {', '.join(runtimes) or 'nothing'}",
        f"Reads video: {', '.join(video) or 'unknown'}; sound: {', '.join(sound) or 'unknown'}",
        f"Weights: {', '.join(weights) or 'none'}",
        f"Free disk space: {', '.join(free) or 'unknown'}",
    ]
    lines += [f"Note: {note}" for note in found.notes]
    if found.missing:
        lines += ["", "Not installed, and what needs it:"]
    for extra, lacking in found.missing.items():
        purpose = PURPOSES.get(extra, f"the extra {extra}")
        lines.append(f"  {purpose}: pip install 'quavf[{extra}]' ({', '.join(lacking)})")
    lines += ["", *(f"Problem: {problem}" for problem in found.problems)]
    lines.append("`quavf run` can run." if found.can_run else "`quavf run` cannot run.")
    return "\n".join(lines)


def _describe_system() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "quavf": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": cores,
        "memory_gb": _measure_memory_gb(),
        "bf16": _has_bf16(),
        "gpu": _find_gpu(),
    }


def _measure_memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError):
        return None


def _has_bf16() -> bool | None:
    """Whether the processor has bf16 arithmetic; None where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    return bool(re.search(r"^(flags|Features)\s*:.*\b(avx512_bf16|amx_bf16|bf16)\b", text, re.M))


def _find_gpu() -> str:
    """The names of NVIDIA's GPUs; empty if there is none."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return ""
    words = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""


def _list_requirements() -> dict[str, dict[str, str]]:
    """The distributions that the package and each extra need, with the least version of each."""
    wanted: dict[str, dict[str, str]] = {"": {}}
    for line in importlib.metadata.requires("quavf") or []:
        name = re.split(r"[\[<>=~!; ]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([^'\"]+)", line)
        least = re.search(r">=\s*([\d.]+)", line)
        key = extra[1] if extra else ""
        if key not in FOR_DEVELOPERS and name != "quavf":
            wanted.setdefault(key, {})[name] = least[1] if least else ""
    return wanted


def _find_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_enough(name: str, least: str) -> bool:
    """Whether a distribution is installed, and not older than asked for."""
    version = _find_version(name)
    if name.startswith("opencv-python") and version is None:  # any of its builds will do
        builds = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
        version = next(filter(None, map(_find_version, builds)), None)
    if version is None:
        return False
    numbers = [[int(n) for n in re.findall(r"\d+", v.split("+")[0])[:3]] for v in (version, least)]
    return numbers[0] >= numbers[1]


def _measure_free_gb() -> dict[str, float]:
    folders = dict.fromkeys([str(Path.cwd()), tempfile.gettempdir()])
    return {folder: shutil.disk_usage(folder).free / 1e9 for folder in folders}


def _read_weights(found: _Findings) -> dict[str, list[str]]:
    """The branches of the weights that come with the package; the default must be readable."""
    from quavf.core.errors import QuavfError
    from quavf.models.bundled import DEFAULT, load_bundle, weights_names

    weights = {}
    for name in weights_names():
        try:
            weights[name] = list(load_bundle(name).branches)
        except QuavfError as error:
            found.problems.append(f"weights {name}: {error}")
    if DEFAULT not in weights:
        found.problems.append(f"the default weights, {DEFAULT}, are not there; install quavf again")
    return weights


def _probe(module: str) -> dict[str, Any]:
    """Import a library in a process of its own: its `answer`, or the `error` in one line."""
    code = PROBES[module]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S
    )
    if done.returncode == 0:
        return {"answer": json.loads(done.stdout)}
    return {"error": f"{module}: {_explain(done.returncode, done.stderr)}"}


def _explain(code: int, text: str) -> str:
    """Why an import failed, and what to do."""
    last = (text.strip().splitlines() or ["no message"])[-1][:200]
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"its import ends with {name}; it may be built for another processor"
    if library := re.search(r"(lib(GL|gthread|glib)[\w.-]*)", last):
        return (
            f"the system library {library[1]} is missing; install libgl1 and libglib2.0-0 (apt), "
            "or opencv-python-headless in place of opencv-python"
        )
    return f"cannot be imported ({last})"
