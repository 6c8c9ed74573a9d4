"""Checkpoints: ours and the published ones load, anything else is refused in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import WhisperModel

from quavf.core.errors import CheckpointError
from quavf.core.windows import WindowConfig
from quavf.models.audio import AudioBranch
from quavf.models.backbones import _RECOGNISED, recognise_backbone
from quavf.models.branch import BranchNetwork
from quavf.models.checkpoint import load_branch, save_branch
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.description import METADATA_KEY, checkpoint_info
from quavf.models.published import AUDIO_KEYS, PARTS, VISUAL_KEYS
from quavf.models.visual import VisualBranch
from tests.helpers.data import GOLDEN, needs_golden
from tests.helpers.published import (
    published_state,
    tiny_audio,
    tiny_visual,
    whisper_name,
    write_published,
)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def refused(path: Path, *parts: str, **options: Any) -> None:
    """`load_branch` says, in one line that begins with the file's name, all of `parts`."""
    with pytest.raises(CheckpointError) as caught:
        load_branch(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert "\n" not in message
    assert len(message) < 700
    for part in parts:
        assert part in message, message


# Ours.


@pytest.mark.parametrize("make", [tiny_audio, tiny_visual])
def test_round_trip_needs_nothing_else(make: Any, tmp_path: Path) -> None:
    branch = make(n_layers=2)
    branch.settings = BranchSettings("fixed", WindowConfig(min_quality=0.1), "light")
    save_branch(tmp_path / "best.safetensors", branch, {"epoch": 3, "val_map": 0.5})
    for given in (tmp_path / "best.safetensors", tmp_path, str(tmp_path)):
        loaded = load_branch(given)
        assert same_weights(branch, loaded)
        assert type(loaded) is type(branch)
        assert (loaded.config, loaded.settings) == (branch.config, branch.settings)
        assert not loaded.training
        assert {p.device.type for p in loaded.parameters()} == {"cpu"}
    info = checkpoint_info(tmp_path / "best.safetensors")
    assert info["info"] == {"epoch": 3, "val_map": 0.5}
    assert info["branch"] == branch.name


@pytest.mark.parametrize("length", [0x1080, 0x4B50], ids=["pickle", "zip"])
def test_ours_with_a_header_as_long_as_other_files_begin(length: int, tmp_path: Path) -> None:
    """The first bytes are a length, which may happen to look like a torch file's beginning."""
    path, padding = tmp_path / "x.safetensors", 0
    while True:
        save_branch(path, tiny_audio(), {"padding": " " * padding})
        found = int.from_bytes(path.read_bytes()[:8], "little")
        if found == length:
            break
        assert found < length
        padding += length - found
    assert path.read_bytes()[:2] in (b"\x80\x10", b"PK")
    assert same_weights(load_branch(path), tiny_audio())


def test_saving_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    save_branch(tmp_path / "best.safetensors", tiny_audio())
    save_branch(tmp_path / "best.safetensors", tiny_audio(seed=1))
    assert [p.name for p in tmp_path.iterdir()] == ["best.safetensors"]
    assert same_weights(load_branch(tmp_path), tiny_audio(seed=1))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (tiny_audio, {"n_heads": 8}, "n_heads 2, not 8"),
        (tiny_audio, {"encoder_heads": 4}, "encoder_heads 2, not 4"),
        (tiny_visual, {"n_heads": 4}, "n_heads 2, not 4"),
        (tiny_visual, {"backbone": "resnet50"}, "backbone test_vit, not resnet50"),
    ],
)
def test_options_may_only_repeat_what_ours_says(
    make: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "best.safetensors"
    save_branch(path, make())
    refused(path, message, "leave that option out", **options)
    branch = load_branch(path, n_heads=2, encoder_heads=None)
    repeated = {"n_heads": 2}
    repeated |= {"encoder_heads": 2} if isinstance(branch, AudioBranch) else {}
    assert same_weights(load_branch(path, **repeated), branch)  # type: ignore[arg-type]


def own(path: Path, changes: dict[str, Any] | None = None, **metadata: str) -> Path:
    """Our checkpoint of the audio branch with its description changed."""
    save_branch(path, tiny_audio())
    description = checkpoint_info(path)
    for dotted, value in (changes or {}).items():
        *inner, last = dotted.split(".")
        place = description
        for key in inner:
            place = place[key]
        place[last] = value
    save_file(
        {k: v.contiguous() for k, v in tiny_audio().state_dict().items()},
        path,
        metadata or {METADATA_KEY: json.dumps(description)},
    )
    return path


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"format": 2}, ["checkpoint format 2, this version reads 1"]),
        ({"format": None}, ["checkpoint format None, this version reads 1"]),
        ({"branch": "smell"}, ["branch 'smell' is not one of audio, visual"]),
        ({"branch": ["audio"]}, ["branch ['audio'] is not one of"]),
        ({"branch": "visual"}, ["damaged configuration", "unknown field 'encoder'"]),
        ({"config": None}, ["damaged configuration", "expected an object of settings"]),
        ({"config.dim": "16"}, ["damaged configuration", "dim: '16' is not of type int"]),
        ({"config.dim": -16}, ["damaged configuration", "dim -16 must be a multiple"]),
        ({"config.encoder": 5}, ["damaged configuration", "encoder: 5 is not of type str"]),
        ({"config.width": 5}, ["damaged configuration", "unknown field 'width'"]),
        ({"settings.semantics": "mended"}, ["damaged configuration", "'mended' is not known"]),
        ({"settings.windows.step": 0}, ["damaged configuration", "step 0; use 1 or more"]),
        ({"config.dim": 32}, ["does not fit the model", "size mismatch"]),
        ({"config.n_layers": 2}, ["does not fit the model", "Missing key"]),
    ],
    ids=str,
)
def test_changed_description_of_ours(
    changes: dict[str, Any], parts: list[str], tmp_path: Path
) -> None:
    refused(own(tmp_path / "x.safetensors", changes), *parts)


@pytest.mark.parametrize(
    "text", ["", "{", "3", "[1, 2]", "null", '"config"', "{}", "[" * 100_000], ids=lambda t: t[:8]
)
def test_description_that_is_none(text: str, tmp_path: Path) -> None:
    metadata: dict[str, Any] = {METADATA_KEY: text}
    path = own(tmp_path / "x.safetensors", **metadata)
    refused(path, "checkpoint")


def test_safetensors_of_something_else(tmp_path: Path) -> None:
    path = own(tmp_path / "x.safetensors", format="pt")
    refused(path, "not a checkpoint of this package", "'quavf'", "or weights under the published")


# The published format.


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.module."]
)
@pytest.mark.parametrize(("make", "n_layers"), [(tiny_audio, 1), (tiny_audio, 3), (tiny_visual, 2)])
def test_published_checkpoint(make: Any, n_layers: int, prefix: str, tmp_path: Path) -> None:
    branch = make(n_layers=n_layers)
    path = write_published(tmp_path / "best.ckpt", branch, prefix)
    loaded = load_branch(str(path), encoder_heads=2, n_heads=2)
    assert same_weights(branch, loaded)
    assert not loaded.training
    # What shapes cannot tell, or does not matter to the weights, has the published value.
    assert (
        loaded.config == replace(branch.config, encoder_weights="random")
        if isinstance(branch, AudioBranch)
        else loaded.config == branch.config
    )
    assert loaded.settings == BranchSettings("reference")


def test_published_without_quality(tmp_path: Path) -> None:
    branch = tiny_visual(use_quality=False)
    path = write_published(tmp_path / "best.ckpt", branch)
    assert not load_branch(path, n_heads=2).config.use_quality
    state = published_state(branch) | {"scoreEmbed.weight": torch.ones(21, 16)}  # made, not used
    torch.save({"model": state}, path)
    assert not load_branch(path, n_heads=2).config.use_quality


def test_published_shapes_tell_bins_and_slots(tmp_path: Path) -> None:
    config = VisualConfig("test_vit", "random", dim=8, n_heads=2, quality_bins=10)
    branch = VisualBranch(config, BranchSettings("reference", WindowConfig(n_slots=7)))
    loaded = load_branch(write_published(tmp_path / "x.ckpt", branch), n_heads=2)
    assert loaded.config == config
    assert loaded.settings.windows.n_slots == 7


def test_published_weights_in_half_precision(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in published_state(tiny_audio()).items()}
    torch.save({"model": state}, tmp_path / "x.ckpt")
    loaded = load_branch(tmp_path / "x.ckpt", encoder_heads=2, n_heads=2)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_published_in_the_old_file_format(tmp_path: Path) -> None:
    """As torch wrote it before 1.6: a bare pickle, no zip."""
    branch = tiny_audio()
    content = {"metric": 0.5, "model": published_state(branch)}
    torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=False)
    assert same_weights(load_branch(tmp_path / "x.ckpt", encoder_heads=2, n_heads=2), branch)


def test_heads_of_published_checkpoints(tmp_path: Path) -> None:
    """One encoder head for each 64 of its width, and 8 in the attention, unless told."""
    branch = AudioBranch(AudioConfig("128x1x2", "random", dim=16))
    path = write_published(tmp_path / "x.ckpt", branch)
    assert load_branch(path).config == replace(branch.config, encoder_weights="random")
    told = load_branch(path, encoder_heads=4, n_heads=2).config
    assert isinstance(told, AudioConfig)
    assert (told.encoder, told.n_heads) == ("128x1x4", 2)


def test_other_heads_give_other_logits(tmp_path: Path) -> None:
    path = write_published(tmp_path / "x.ckpt", tiny_audio())
    mel = torch.randn(1, 80, 3000)
    right, wrong = load_branch(path, n_heads=2), load_branch(path, n_heads=4)
    assert not torch.allclose(right(mel), wrong(mel), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"n_heads": 3}, "dim 16 must be a multiple of n_heads 3"),
        ({"n_heads": -2}, "n_heads -2"),
        ({"n_heads": 2, "encoder_heads": 3}, "'16x1x3': the width must be a multiple"),
        ({"n_heads": 2, "encoder_heads": -1}, "the width must be a multiple"),
    ],
)
def test_impossible_heads(options: dict[str, Any], part: str, tmp_path: Path) -> None:
    refused(write_published(tmp_path / "x.ckpt", tiny_audio()), part, **options)


def without(state: dict[str, Any], start: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith(start)}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda s: without(s, "predHead"), "no usable 'predHead.1.weight' in it"),
        (lambda s: without(s, "temporalModule"), "no usable 'temporalModule.0.embed.weight'"),
        (lambda s: s | {"predHead.1.weight": torch.ones(2)}, "no usable 'predHead.1.weight'"),
        (lambda s: s | {"temporalModule.0.embed.weight": torch.ones(1501, 8)}, "size mismatch"),
        (lambda s: s | {"temporalModule.0.attn.in_proj_bias": torch.ones(3)}, "size mismatch"),
        (lambda s: s | {"backbone.conv1.weight": torch.tensor(1.0)}, "encoder is not Whisper's"),
        (lambda s: without(s, "backbone.conv1"), "encoder is not Whisper's ('conv1.weight')"),
        (lambda s: without(s, "backbone.ln_post"), "Missing key(s)"),
        (lambda s: s | {"backbone.blocks.0.attn.extra": torch.ones(1)}, "Unexpected key(s)"),
        (lambda s: s | {"predHead.1.weight": torch.ones(3, 16)}, "size mismatch"),
        (lambda s: s | {"predHead.1.bias": "no tensor"}, "no weights under 'model'"),
        (lambda s: s | {5: torch.ones(1)}, "no weights under 'model'"),
        (lambda s: {}, "no usable 'predHead.1.weight' in it"),
        (lambda s: None, "no weights under 'model'"),
        (lambda s: list(s.items()), "no weights under 'model'"),
    ],
)
def test_other_keys_and_shapes(change: Any, part: str, tmp_path: Path) -> None:
    state = change(published_state(tiny_audio()))
    torch.save({"model": state}, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", part, encoder_heads=2, n_heads=2)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (tiny_audio, "extra.weight"),
        (tiny_audio, "inProj.1.weight"),
        (tiny_audio, "inProj.0.scale"),
        (tiny_audio, "scoreEmbed.weight"),
        (tiny_audio, "temporalModule.0.norm.weight"),
        (tiny_audio, "temporalModule.0.attn.bias_k"),
        (tiny_audio, "temporalModule.0.embed.bias"),
        (tiny_audio, "temporalModule.x.attn.in_proj_bias"),
        (tiny_audio, "predHead.0.weight"),
        (tiny_audio, "predHead.1.scale"),
        (tiny_audio, "module.predHead.1.bias"),
        (tiny_audio, "backbone.extra"),
        (tiny_visual, "extra.weight"),
        (tiny_visual, "inProj.0.weight"),
        (tiny_visual, "inProj.1.scale"),
        (tiny_visual, "scoreEmbed.bias"),
        (tiny_visual, "temporalModule.0.norm.weight"),
        (tiny_visual, "temporalModule.0.attn.bias_k"),
        (tiny_visual, "temporalModule.0.extra"),
        (tiny_visual, "predHead.2.weight"),
        (tiny_visual, "predHead.1.scale"),
        (tiny_visual, "backbone.extra"),
    ],
)
def test_weights_that_no_part_uses(make: Any, key: str, tmp_path: Path) -> None:
    """All that is in the file is used, or known to be made and not used."""
    branch = make()
    state = published_state(branch) | {key: torch.ones(1)}
    torch.save({"model": state}, tmp_path / "x.ckpt")
    named = {} if isinstance(branch, AudioBranch) else {"backbone": branch.config.backbone}
    inside = re.fullmatch(PARTS, key)  # of a part: named as the part calls it
    told = key.rsplit(".", 1)[-1] if inside else f"no place for {key!r}"
    refused(tmp_path / "x.ckpt", told, n_heads=2, **named)


def test_the_first_unknown_weight_is_named(tmp_path: Path) -> None:
    unknown = {"fusion.weight": torch.ones(1), "fusion.bias": torch.ones(1)}
    torch.save({"model": published_state(tiny_visual()) | unknown}, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "the model has no place for 'fusion.weight'; is this", n_heads=2)


@needs_golden
def test_every_key_of_the_published_system_is_known() -> None:
    """At full size: both branches, as the published system names their weights."""
    listed = GOLDEN / "state_dict_keys_fullsize.txt"
    audio, visual = re.split(r"^# visual.*$", listed.read_text(), flags=re.M)
    for text, pattern in ((audio, AUDIO_KEYS), (visual, VISUAL_KEYS)):
        keys = [line.split("\t")[0] for line in text.splitlines() if "\t" in line]
        assert len(keys) in (196, 330)
        assert [key for key in keys if not re.fullmatch(pattern, key)] == []


@pytest.mark.parametrize(
    "content",
    [{}, {"state_dict": {}}, [], None, 3, "text", torch.ones(3), {"weights": torch.ones(3)}],
    ids=str,
)
def test_pickles_of_something_else(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "no weights under 'model'; is this a QuAVF checkpoint")


# The metric that is stored beside the weights.


def renamed(path: Path, old: bytes, new: bytes) -> None:
    """The same archive with a module's name in its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        files = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files:
            archive.writestr(name, data.replace(old, new) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
@pytest.mark.parametrize(
    "kind",
    [
        *(np.float64, np.float32, np.float16, np.longdouble, np.bool_, np.str_, np.bytes_),
        *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
        np.complex64,
        lambda value: np.array([value]),
        lambda value: np.array(value, np.float16),
    ],
)
def test_numpy_metric_under_both_of_numpy_s_names(kind: Any, module: bytes, tmp_path: Path) -> None:
    path = write_published(tmp_path / "x.ckpt", tiny_audio(), metric=kind(0.5))
    here = np.float64(0).__reduce__()[0].__module__.encode()
    renamed(path, here, module)
    assert module in b"".join(path.read_bytes().split(b"\n"))
    assert same_weights(load_branch(path, encoder_heads=2, n_heads=2), tiny_audio())


def test_weights_of_compiled_parts(tmp_path: Path) -> None:
    """`torch.compile` of one module renames its weights alone."""
    branch = tiny_audio()
    state = {
        k.replace("backbone.", "backbone._orig_mod."): v for k, v in published_state(branch).items()
    }
    torch.save({"model": state}, tmp_path / "x.ckpt")
    assert same_weights(load_branch(tmp_path / "x.ckpt", encoder_heads=2, n_heads=2), branch)
    key = "backbone.blocks.0.attn.out.bias"
    torch.save({"model": state | {key: torch.ones(16)}}, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "both with and without '_orig_mod.'")
    path = tmp_path / "own.safetensors"
    save_branch(path, branch)
    description = checkpoint_info(path)
    wrapped = {f"_orig_mod.{k}": v.contiguous() for k, v in branch.state_dict().items()}
    save_file(wrapped, path, {METADATA_KEY: json.dumps(description)})
    assert same_weights(load_branch(path), branch)


def test_plain_weights(tmp_path: Path) -> None:
    """Without anything around them, in either kind of file."""
    for make, options in (
        (tiny_audio, {"encoder_heads": 2}),
        (tiny_visual, {"backbone": "test_vit"}),
    ):
        branch = make()
        state = {k: v.contiguous() for k, v in published_state(branch).items()}
        torch.save(state, tmp_path / "x.ckpt")
        save_file(state, tmp_path / "x.safetensors")
        for name in ("x.ckpt", "x.safetensors"):
            loaded = load_branch(tmp_path / name, n_heads=2, **options)
            assert same_weights(loaded, branch)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda w: w * float("nan"), "has 32 values of 32 that are NaN or infinite"),
        (lambda w: w.masked_fill(torch.eye(2, 16).bool(), float("inf")), "has 2 values of 32 that"),
        (lambda w: w.double() + 1e300, "has 32 values of 32"),  # too large for fp32
        (lambda w: w > 0, "is of type bool, expected float"),
        (lambda w: w.long(), "is of type int64, expected float"),
        (lambda w: w.to(torch.complex64), "is of type complex64, expected float"),
    ],
)
def test_weights_that_are_no_numbers(change: Any, part: str, tmp_path: Path) -> None:
    """Such a branch would give scores, and they would mean nothing."""
    key, state = "predHead.1.weight", published_state(tiny_audio())
    torch.save({"model": state | {key: change(state[key])}}, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "the weight 'head.weight'", part, encoder_heads=2, n_heads=2)


@pytest.mark.filterwarnings("ignore:.*[Ss]parse:UserWarning")
def test_sparse_weights(tmp_path: Path) -> None:
    key, state = "predHead.1.weight", published_state(tiny_audio())
    torch.save({"model": state | {key: state[key].to_sparse()}}, tmp_path / "x.ckpt")
    refused(
        tmp_path / "x.ckpt", "is of type sparse_coo, expected float", n_heads=2, encoder_heads=2
    )


def test_own_weights_that_are_no_numbers(tmp_path: Path) -> None:
    branch = tiny_audio()
    with torch.no_grad():
        branch.head.bias.fill_(float("nan"))
    save_branch(tmp_path / "x.safetensors", branch)
    refused(tmp_path / "x.safetensors", "'head.bias' has 2 values of 2", "earlier checkpoint")


def test_an_archive_that_would_fill_the_memory(tmp_path: Path) -> None:
    path = write_published(tmp_path / "x.ckpt", tiny_audio())
    with zipfile.ZipFile(path) as archive:
        files = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
        archive.writestr("archive/data/999", bytes(50_000_000))
    refused(path, "not a checkpoint of torch (an archive of ", " bytes that unpacks to 50,")


@pytest.mark.parametrize("metric", [0.5, 1, None, float("nan"), "0.5", torch.tensor(0.5)])
def test_other_metrics(metric: Any, tmp_path: Path) -> None:
    path = write_published(tmp_path / "x.ckpt", tiny_audio(), metric=metric)
    load_branch(path, encoder_heads=2, n_heads=2)


def test_no_metric_at_all(tmp_path: Path) -> None:
    torch.save({"model": published_state(tiny_audio())}, tmp_path / "x.ckpt")
    load_branch(tmp_path / "x.ckpt", encoder_heads=2, n_heads=2)


# What is no checkpoint, or a dangerous one.


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["not a checkpoint", "(it is empty)", "download it again"]),
        (b"this is the wrong file", ["not a checkpoint", "it begins with b'this is t'"]),
        (b"<html>404 Not Found</html>", ["not a checkpoint", "it begins with b'<html>404'"]),
        (bytes(1000), ["not a checkpoint", "it begins with"]),
        (b"PK\x03\x04", ["not a readable checkpoint (PytorchStreamReader failed", "again"]),
        (b"\x80\x02}q\x00.", ["not a readable checkpoint", "download it again"]),
        (b"\x80\x02.", ["not a readable checkpoint", "download it again"]),
        (b"12345678{", ["not a checkpoint", "it begins with b'12345678{'"]),
        (b"\x02\0\0\0\0\0\0\0{}", ["not a checkpoint of this package"]),
        (b"\x09\0\0\0\0\0\0\0{}", ["not a checkpoint of this package"]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_files_of_other_kinds(content: bytes, parts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    refused(path, *parts)


def test_missing_files(tmp_path: Path) -> None:
    refused(tmp_path / "x.ckpt", "no such file; give a checkpoint, or the folder of")
    refused(tmp_path, "best.safetensors: no such file")


def write_checkpoint(path: Path, kind: str) -> Path:
    """Write a small audio branch: ours, or a published one as zip or plain pickle."""
    if kind == "safetensors":
        save_branch(path, tiny_audio())
    else:
        state = published_state(tiny_audio())
        torch.save({"model": state}, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9, 0.999])
def test_truncated_files(kind: str, part: float, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "x.bin", kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    refused(path, "again")


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_damaged_bytes_never_escape_as_another_error(kind: str, tmp_path: Path) -> None:
    """Whatever a file holds: a branch, or one of our errors."""
    path = write_checkpoint(tmp_path / "x.bin", kind)
    content = path.read_bytes()
    rng = random.Random(0)
    n_loaded = 0
    for _ in range(80):
        damaged = bytearray(content)
        start = rng.randrange(4000)  # where names and shapes are
        damaged[start : start + rng.randrange(4)] = rng.randbytes(rng.randrange(1, 4))
        path.write_bytes(damaged)
        with suppress(CheckpointError):
            load_branch(path, encoder_heads=2, n_heads=2)
            n_loaded += 1
    assert n_loaded < 40


class Harmful:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.victim}'",)


class OurOwn:
    """Harmless, but of a class: loading it would run code of that class."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", ["metric", "model", "top"])
def test_pickle_that_would_run_code(where: str, zipped: bool, tmp_path: Path) -> None:
    victim = tmp_path / "it ran"
    content: Any = {"metric": 0.5, "model": published_state(tiny_audio())}
    content = Harmful(victim) if where == "top" else content | {where: Harmful(victim)}
    torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "x.ckpt", "could run code when loaded, which is refused", ".system")
    assert not victim.exists()
    if zipped:
        torch.load(tmp_path / "x.ckpt", weights_only=False)
        assert victim.exists()  # so the file is as dangerous as this test says


def test_plain_pickle_that_would_run_code(tmp_path: Path) -> None:
    victim = tmp_path / "it ran"
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Harmful(victim)))
    refused(tmp_path / "x.pkl", "not a")
    assert not victim.exists()


def test_pickled_object_of_a_class(tmp_path: Path) -> None:
    torch.save({"metric": OurOwn(), "model": {}}, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "could run code when loaded", "test_checkpoint.OurOwn")


def test_messages_do_not_tell_how_to_load_unsafely(tmp_path: Path) -> None:
    torch.save({"metric": OurOwn(), "model": {}}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError) as caught:
        load_branch(tmp_path / "x.ckpt")
    assert "weights_only" not in str(caught.value)
    assert "add_safe_globals" not in str(caught.value)


# Image networks.


def keys_of(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(timm.create_model(name, num_classes=24).state_dict())


@pytest.mark.parametrize("name", ["resnet50", "test_resnet", "mobilenetv3_small_100", "test_vit"])
def test_backbone_is_recognised(name: str) -> None:
    """By its keys and shapes, the last layer's width among them."""
    assert recognise_backbone(Path("x.ckpt"), keys_of(name), dim=24) == name


def test_backbone_with_a_key_more_is_not_recognised() -> None:
    state = keys_of("test_vit") | {"more": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"x\.ckpt: its image network is not one that is rec"):
        recognise_backbone(Path("x.ckpt"), state, dim=24)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for names in _RECOGNISED.values() for name in names])
def test_each_backbone_of_the_list_is_recognised_as_itself(name: str) -> None:
    assert recognise_backbone(Path("x.ckpt"), keys_of(name), dim=24) == name


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "test_convnext"])
def test_checkpoint_of_a_recognised_backbone(name: str, tmp_path: Path) -> None:
    branch = tiny_visual(name)
    loaded = load_branch(write_published(tmp_path / "x.ckpt", branch), n_heads=2)
    assert loaded.config == branch.config
    assert same_weights(branch, loaded)


def test_backbone_that_is_not_recognised_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_RECOGNISED, "stem.", ("test_convnext",))
    path = write_published(tmp_path / "x.ckpt", tiny_visual("test_byobnet"))
    refused(path, "not one that is recognised; name it with --backbone NAME", n_heads=2)
    branch = load_branch(path, n_heads=2, backbone="test_byobnet")
    assert branch.config == tiny_visual("test_byobnet").config


@pytest.mark.parametrize(
    ("backbone", "part"),
    [
        ("resnet51", "timm has no model 'resnet51'"),
        ("resnet18", "does not fit the model"),
    ],
)
def test_backbone_named_wrongly(backbone: str, part: str, tmp_path: Path) -> None:
    path = write_published(tmp_path / "x.ckpt", tiny_visual())
    refused(path, part, n_heads=2, backbone=backbone)


# Pretrained backbones.


def encoder_state(seed: int = 3) -> dict[str, torch.Tensor]:
    return dict(tiny_audio(seed=seed).encoder.state_dict())


def openai_file(path: Path) -> None:
    """`{dims, model_state_dict}`, the decoder in it too."""
    state = {f"encoder.{whisper_name(k)}": v for k, v in encoder_state().items()}
    state |= {"decoder.ln.weight": torch.ones(16)}
    torch.save({"dims": {"n_mels": 80}, "model_state_dict": state}, path)


def bare_openai_file(path: Path) -> None:
    torch.save({whisper_name(k): v for k, v in encoder_state().items()}, path)


def transformers_file(path: Path, prefix: str = "model.encoder.") -> None:
    state = {prefix + k: v.contiguous() for k, v in encoder_state().items()}
    save_file(state | {"proj_out.weight": torch.ones(2)} if prefix else state, path)


def transformers_folder(path: Path) -> None:
    path.mkdir()
    transformers_file(path / "model.safetensors", "encoder.")


@pytest.mark.parametrize(
    "write",
    [
        openai_file,
        bare_openai_file,
        transformers_file,
        lambda path: transformers_file(path, "encoder."),
        lambda path: transformers_file(path, ""),
        transformers_folder,
    ],
)
def test_whisper_from_a_file(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "whisper")
    branch = tiny_audio(encoder_weights=str(tmp_path / "whisper"))
    head = branch.head.weight.clone()
    branch.load_pretrained()
    found = branch.encoder.state_dict()
    assert all(torch.equal(found[key], value) for key, value in encoder_state().items())
    assert torch.equal(branch.head.weight, head)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"model_state_dict": {}}, "Missing key(s)"),
        ({"model_state_dict": None}, "Missing key(s)"),
        ({"encoder.blocks.0.attn.query.weight": torch.ones(2)}, "Missing key(s)"),
        ([], "Missing key(s)"),
    ],
    ids=str,
)
def test_whisper_file_of_something_else(content: Any, part: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "whisper.pt")
    branch = tiny_audio(encoder_weights=str(tmp_path / "whisper.pt"))
    with pytest.raises(CheckpointError, match=r"audio.encoder_weights: .*whisper.pt: ") as caught:
        branch.load_pretrained()
    assert part in str(caught.value)


def test_whisper_file_of_another_size(tmp_path: Path) -> None:
    openai_file(tmp_path / "whisper.pt")
    branch = tiny_audio(encoder="32x1x2", encoder_weights=str(tmp_path / "whisper.pt"))
    with pytest.raises(CheckpointError, match=r"does not fit the model .*size mismatch"):
        branch.load_pretrained()


def test_of_a_deeper_whisper_the_first_layers_are_taken(tmp_path: Path) -> None:
    deep = tiny_audio(encoder="16x3x2").encoder.state_dict()
    save_file(deep, tmp_path / "whisper.safetensors")
    branch = tiny_audio(encoder="16x2x2", encoder_weights=str(tmp_path / "whisper.safetensors"))
    branch.load_pretrained()
    found = branch.encoder.state_dict()
    assert {key.split(".")[1] for key in found if key.startswith("layers.")} == {"0", "1"}
    assert all(torch.equal(value, deep[key]) for key, value in found.items())


@pytest.mark.parametrize("where", ["missing.pt", "empty folder"])
def test_whisper_file_that_is_missing(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty folder").mkdir()
    branch = tiny_audio(encoder_weights=str(tmp_path / where))
    with pytest.raises(CheckpointError, match=f"encoder_weights: .*{where}.*: no such file"):
        branch.load_pretrained()


def timm_state(n_classes: int = 1000, backbone: str = "test_vit") -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return dict(timm.create_model(backbone, num_classes=n_classes).state_dict())


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model", "safetensors"])
@pytest.mark.parametrize("n_classes", [1000, 16, 0])
def test_image_network_from_a_file(wrapped: str, n_classes: int, tmp_path: Path) -> None:
    """A last layer of another width, or none, is left as it is; everything else is taken."""
    state = timm_state(n_classes)
    if wrapped == "safetensors":
        save_file(state, tmp_path / "weights")
    else:
        torch.save({wrapped: state, "epoch": 3} if wrapped else state, tmp_path / "weights")
    branch = tiny_visual(backbone_weights=str(tmp_path / "weights"))
    before = branch.backbone.head.weight.clone()
    branch.load_pretrained()
    for key, value in branch.backbone.state_dict().items():
        if not key.startswith("head."):
            assert torch.equal(value, state[key]), key
    expected = state["head.weight"] if n_classes == 16 else before
    assert torch.equal(branch.backbone.head.weight, expected)


def test_old_resnet_file_without_batch_counts(tmp_path: Path) -> None:
    state = timm_state(backbone="test_resnet")
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "weights")
    branch = tiny_visual("test_resnet", backbone_weights=str(tmp_path / "weights"))
    branch.load_pretrained()
    weight = branch.backbone.layer1[0].conv1.weight
    assert torch.equal(weight, state["layer1.0.conv1.weight"])


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda s: without(s, "blocks.0.mlp.fc1"), "'blocks.0.mlp.fc1.bias'"),
        (lambda s: s | {"cls_token": torch.ones(1)}, "'cls_token'"),
        (lambda s: {}, "'blocks.0."),
        (lambda s: [1, 2], "'blocks.0."),
        (lambda s: timm_state(backbone="test_resnet"), "'blocks.0."),
    ],
)
def test_image_network_file_that_does_not_fit(change: Any, part: str, tmp_path: Path) -> None:
    torch.save(change(timm_state()), tmp_path / "weights")
    branch = tiny_visual(backbone_weights=str(tmp_path / "weights"))
    with pytest.raises(CheckpointError, match=r"backbone_weights: .* fit test_vit") as caught:
        branch.load_pretrained()
    assert part in str(caught.value)


def test_image_network_file_that_is_missing(tmp_path: Path) -> None:
    branch = tiny_visual(backbone_weights=str(tmp_path / "nothing"))
    with pytest.raises(CheckpointError, match=r"visual.backbone_weights: .*nothing: no such file"):
        branch.load_pretrained()


@pytest.mark.parametrize("make", [tiny_audio, tiny_visual])
def test_random_weights_are_left_alone(make: Any) -> None:
    branch = make()
    branch.load_pretrained()
    assert same_weights(branch, make())


class Hub:
    """Stands in for a download: fails like the real ones, or gives a model."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, ""

    def __call__(self, name: str, **options: Any) -> Any:
        if options.get("pretrained", True) is False:
            return None
        self.asked = name
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "error",
    [
        OSError("We couldn't connect to 'https://huggingface.co'\nmuch advice"),
        ValueError("offline"),
        ConnectionError(),
    ],
    ids=repr,
)
def test_hub_that_cannot_be_reached(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    audio, visual = tiny_audio(encoder_weights="hub"), tiny_visual(backbone_weights="hub")
    monkeypatch.setattr(WhisperModel, "from_pretrained", Hub(error))
    monkeypatch.setattr(timm, "create_model", Hub(error))
    for branch, option, name in (
        (audio, "audio.encoder_weights", "openai/whisper-16x1x2"),
        (visual, "visual.backbone_weights", "test_vit"),
    ):
        with pytest.raises(CheckpointError) as caught:
            branch.load_pretrained()
        message = str(caught.value)
        assert message.startswith(f"{option}: {name} cannot be downloaded ({str(error)[:10]}")
        assert f"--{option} FILE), or --{option} random" in message
        assert "advice" not in message


def test_weights_from_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_audio(seed=9)

    class Downloaded:
        def get_encoder(self) -> Any:
            return source.encoder

    hub = Hub(Downloaded())
    monkeypatch.setattr(WhisperModel, "from_pretrained", hub)
    audio = tiny_audio(encoder_weights="hub")
    audio.load_pretrained()
    assert hub.asked == "openai/whisper-16x1x2"
    assert same_weights(audio.encoder, source.encoder)

    visual = tiny_visual(backbone_weights="hub")
    hub = Hub(timm.create_model("test_vit"))
    monkeypatch.setattr(timm, "create_model", hub)
    visual.load_pretrained()
    assert hub.asked == "test_vit"
    assert torch.equal(visual.backbone.cls_token, hub.answer.cls_token)
    assert visual.backbone.head.weight.shape == (16, hub.answer.head.in_features)


def test_kinds_of_branches() -> None:
    branches: list[BranchNetwork] = [tiny_audio(), tiny_visual()]
    assert [branch.name for branch in branches] == ["audio", "visual"]
