"""What runs the networks: the same scores whatever it is, and clear words where it cannot be."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quavf.core.errors import CheckpointError, ConfigError
from quavf.inference import export as exporting
from quavf.inference.backends import OpenVinoBackend
from quavf.inference.config import InferenceConfig, PredictConfig
from quavf.inference.export import TOLERANCE, Export, export, measure_parity
from quavf.inference.loading import (
    load_model,
    load_predictors,
    model_files,
    resolve_device,
    run_branch,
)
from quavf.models import graphs
from quavf.models.checkpoint import load_branch, save_branch
from quavf.models.description import METADATA_KEY, PublishedOptions
from quavf.models.graphs import AudioPart, GraphPart, onnx_program, openvino_model
from quavf.results.scores import Scores, read_config, read_scores
from quavf.utils.openvino import openvino
from quavf.workflows.config import RunConfig
from quavf.workflows.predict import predict
from quavf.workflows.run import Pipeline
from tests.helpers.published import tiny_audio, tiny_visual
from tests.helpers.stores import make_tiny_store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

KINDS = ("audio", "visual")
OPENVINO = InferenceConfig(runtime="openvino")
CPU = PredictConfig(device="cpu", split="val")


def has_openvino() -> bool:
    try:
        openvino()
    except ConfigError:
        return False
    return True


@cache
def has_bf16(name: str) -> bool:
    try:
        if name == "openvino":
            config = InferenceConfig(precision="bf16")
            OpenVinoBackend(openvino_model(AudioPart(tiny_audio())), config)
        else:
            InferenceConfig(precision="bf16").require_torch_bf16()
    except ConfigError:
        return False
    return True


needs_openvino = pytest.mark.skipif(not has_openvino(), reason="openvino is not installed")
needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="onnxscript is not installed"
)
FORMATS = [
    pytest.param(".onnx", marks=needs_onnx),
    pytest.param(".xml", marks=needs_openvino),
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Miniature branches; the visual one sees crops smaller than those stored."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_branch(folder / "audio.safetensors", tiny_audio(), {"val_map": 0.5})
    save_branch(folder / "visual.safetensors", tiny_visual("test_resnet", size=96))
    return {kind: folder / f"{kind}.safetensors" for kind in KINDS}


GRAPHS: dict[str, Any] = {}  # by what makes them and the network that they are of


def reuse_graphs(patch: pytest.MonkeyPatch) -> None:
    """Record each network, and make its graphs, once for the module: it takes seconds."""

    def cached(make: Callable[..., Any]) -> Callable[..., Any]:
        def graph(part: GraphPart, *rest: Any) -> Any:
            weights = hashlib.sha256()
            for value in part.state_dict().values():
                weights.update(value.numpy().tobytes())
            network = f"{type(part).__name__} {part.shapes} {part.network} {weights.hexdigest()}"
            key = f"{make.__name__} {network}"
            if key not in GRAPHS:
                GRAPHS[key] = make(part, *rest)
            return GRAPHS[key]

        return graph

    for make in (graphs._program, onnx_program, openvino_model):
        patch.setattr(graphs, make.__name__, cached(make))


@pytest.fixture
def reused_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    reuse_graphs(monkeypatch)


@pytest.fixture(scope="module")
def exports(
    checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Export]:
    """By kind and suffix, where the library is installed."""
    folder = tmp_path_factory.mktemp("exports")
    suffixes = [".onnx"] * (importlib.util.find_spec("onnxscript") is not None)
    suffixes += [".xml"] * has_openvino()
    with pytest.MonkeyPatch.context() as patch:
        reuse_graphs(patch)
        return {
            f"{kind}{suffix}": export(checkpoints[kind], folder / f"{kind}{suffix}")
            for kind in KINDS
            for suffix in suffixes
        }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_store(tmp_path_factory.mktemp("runtime") / "store").path


@pytest.fixture(scope="module")
def expected(
    store: Path, checkpoints: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Scores:
    """By torch in fp32."""
    out = tmp_path_factory.mktemp("expected")
    predict(store, out, **checkpoints, config=CPU)
    return read_scores(out)


def main_file(made: Export) -> Path:
    return next(f for f in made.files if f.stem in KINDS and f.suffix != ".bin")


def assert_close(found: Scores, expected: Scores, atol: float) -> None:
    for name in ("audio", "visual", "quality", "fused"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=atol)


# The same scores.


@pytest.mark.parametrize("suffix", FORMATS)
def test_exported_models_give_the_same_predictions(
    suffix: str, exports: dict[str, Export], store: Path, expected: Scores, tmp_path: Path
) -> None:
    files: dict[str, Any] = {kind: main_file(exports[kind + suffix]) for kind in KINDS}
    predict(store, tmp_path, **files, config=replace(CPU, batch_size=7, audio_batch_size=3))
    assert_close(read_scores(tmp_path), expected, 1e-5)


@needs_openvino
@needs_onnx
def test_openvino_reads_onnx_files_too(exports, store, expected, tmp_path):
    files: dict[str, Any] = {kind: main_file(exports[f"{kind}.onnx"]) for kind in KINDS}
    predict(store, tmp_path, **files, config=replace(CPU, runtime="openvino"))
    assert_close(read_scores(tmp_path), expected, 1e-5)


@needs_openvino
@pytest.mark.usefixtures("reused_graphs")
def test_openvino_runs_checkpoints(checkpoints, store, expected, tmp_path):
    predict(store, tmp_path, **checkpoints, config=replace(CPU, runtime="openvino"))
    assert_close(read_scores(tmp_path), expected, 1e-5)
    assert read_config(tmp_path)["options"]["runtime"] == "openvino"


@needs_openvino
@pytest.mark.usefixtures("reused_graphs")
@pytest.mark.parametrize("make", [tiny_audio, tiny_visual])  # the latter resamples its positions
def test_openvino_gives_torch_s_logits(make: Any) -> None:
    branch = make()
    assert measure_parity(branch, run_branch(branch, OPENVINO)) <= 1e-4


@pytest.mark.parametrize("name", ["torch", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("reused_graphs")
def test_bf16_differs_but_little(kind: str, name: str, checkpoints: dict[str, Path]) -> None:
    if not has_bf16(name):
        pytest.skip("no bf16 arithmetic in this processor")
    branch = load_branch(checkpoints[kind])
    difference = measure_parity(
        branch, load_model(checkpoints[kind], InferenceConfig(runtime=name, precision="bf16"))[1]
    )
    assert 0 < difference < 0.05
    assert all(p.dtype == torch.float32 for p in branch.parameters())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_export_tells_what_it_wrote(
    kind: str, suffix: str, exports: dict[str, Export], checkpoints: dict[str, Path]
) -> None:
    made = exports[kind + suffix]
    path = main_file(made)
    names = {f"{kind}{suffix}"}
    if kind == "visual":
        names.add(f"visual.classifier{suffix}")
    if suffix == ".xml":
        names |= {Path(name).with_suffix(".bin").name for name in names}
    assert {file.name for file in made.files} == names
    assert set(model_files(path)) == set(made.files)
    assert made.branch == kind
    assert 0 <= made.difference <= TOLERANCE
    (_, model), branch = load_model(path, InferenceConfig()), load_branch(checkpoints[kind])
    assert (model.config, model.settings) == (branch.config, branch.settings)
    assert not [f for f in path.parent.iterdir() if f.name.startswith(".")]


@needs_onnx
def test_export_tells_nothing_of_this_machine(exports: dict[str, Export]) -> None:
    assert b"site-packages" not in main_file(exports["audio.onnx"]).read_bytes()


@needs_onnx
@pytest.mark.usefixtures("reused_graphs")
def test_a_branch_without_quality(tmp_path: Path) -> None:
    save_branch(tmp_path / "v.safetensors", tiny_visual("test_resnet", use_quality=False, size=96))
    made = export(tmp_path / "v.safetensors", tmp_path / "v.onnx", "onnx")
    assert made.difference <= TOLERANCE
    spec, _ = load_model(tmp_path / "v.onnx", InferenceConfig())
    assert spec.name == "visual"


@needs_onnx
def test_raw_video_takes_exported_models(exports, checkpoints):
    files: dict[str, Any] = {kind: str(main_file(exports[f"{kind}.onnx"])) for kind in KINDS}
    pipeline = Pipeline(RunConfig(**files, device="cpu"))
    visual = load_branch(checkpoints["visual"])
    assert pipeline.windows == visual.settings.windows


@pytest.mark.parametrize(
    ("quality", "options", "expected"),
    [
        ("light", {"runtime": "openvino", "precision": "bf16"}, {"device": "cuda"}),
        ("fan", {}, {"device": "cuda", "runtime": "auto", "precision": "fp32"}),
        (
            "fan",
            {"runtime": "openvino"},
            {"device": "cpu", "runtime": "openvino", "precision": "fp32"},
        ),
    ],
)
def test_raw_video_runs_fan_as_it_runs_branches(quality, options, expected):
    pipeline = object.__new__(Pipeline)
    pipeline.config, pipeline.device = RunConfig(quality=quality, **options), "cuda"
    assert pipeline._quality_options() == InferenceConfig(batch_size=8, **expected)


# What cannot be.


@pytest.mark.parametrize("config", [PredictConfig, RunConfig])
@pytest.mark.parametrize(("field", "value"), [("runtime", "tensorrt"), ("precision", "int4")])
def test_unknown_options(config: Any, field: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: '{value}' is not one of"):
        config(**{field: value})


def test_openvino_is_for_the_cpu() -> None:
    with pytest.raises(ConfigError, match="openvino runs on the CPU, not on cuda"):
        InferenceConfig(runtime="openvino", device="cuda")


def test_a_gpu_is_not_taken_by_itself_where_it_cannot_be_used(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device(InferenceConfig()).device == "cuda"
    assert resolve_device(InferenceConfig(), Path("a.safetensors")).device == "cuda"
    assert resolve_device(InferenceConfig(), Path("a.onnx")).device == "cpu"
    config = InferenceConfig(runtime="openvino")
    assert resolve_device(config, Path("a.safetensors")).device == "cpu"


def test_threads(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """All runtimes take as many as they are told to, and otherwise as many as torch has."""
    n_before = torch.get_num_threads()
    try:
        load_model(checkpoints["audio"], InferenceConfig(device="cpu"))
        assert torch.get_num_threads() == n_before
        load_model(checkpoints["audio"], InferenceConfig(device="cpu", threads=n_before + 2))
        assert torch.get_num_threads() == n_before + 2
    finally:
        torch.set_num_threads(n_before)


def test_no_bf16(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match=r"cpu has no bf16 arithmetic.*use fp32"):
        load_model(checkpoints["audio"], InferenceConfig(precision="bf16"))


def test_without_openvino(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"pip install 'quavf\[openvino\]'"):
        load_model(checkpoints["audio"], OPENVINO)


def test_without_onnx(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"pip install 'quavf\[onnx\]'"):
        export(checkpoints["audio"], tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


@needs_openvino
def test_openvino_is_imported_without_its_messages_home() -> None:
    script = (
        "import sys; from quavf.utils.openvino import openvino; openvino(); "
        "assert 'openvino_telemetry' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


@needs_onnx
def test_other_uses_of_an_exported_model(exports, tmp_path):
    audio, visual = (main_file(exports[f"{kind}.onnx"]) for kind in KINDS)
    with pytest.raises(CheckpointError, match="an exported model, which is for"):
        load_branch(audio)
    for name, path, found in (("audio", visual, "visual"), ("visual", audio, "audio")):
        with pytest.raises(ConfigError, match=f"--{name} .*checkpoint of the {found} branch"):
            load_predictors({name: path}, InferenceConfig(), lambda spec, settings: "light")
    with pytest.raises(ConfigError, match="torch cannot run"):
        load_model(audio, InferenceConfig(runtime="torch"))
    with pytest.raises(ConfigError, match="bf16 with --runtime openvino"):
        load_model(audio, InferenceConfig(precision="bf16"))
    with pytest.raises(ConfigError, match="runs on the CPU, not on cuda"):
        load_model(audio, InferenceConfig(device="cuda"))
    with pytest.raises(CheckpointError, match="trained with n_heads 2, not 4"):
        load_model(audio, InferenceConfig(), PublishedOptions(n_heads=4))
    with pytest.raises(CheckpointError, match="takes features, bins, expected crops"):
        load_model(visual.with_name("visual.classifier.onnx"), InferenceConfig())
    with pytest.raises(CheckpointError, match="no such file"):
        load_model(tmp_path / "gone.onnx", InferenceConfig())


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files(suffix: str, exports: dict[str, Export], tmp_path: Path) -> None:
    path = main_file(exports[f"audio{suffix}"])
    for content in (path.read_bytes()[: path.stat().st_size // 2], b"", b"no model"):
        damaged = tmp_path / path.name
        damaged.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"audio{suffix}: .*export"):
            load_model(damaged, InferenceConfig())


@needs_openvino
def test_missing_weights(exports: dict[str, Export], tmp_path: Path) -> None:
    shutil.copy(main_file(exports["audio.xml"]), tmp_path)
    with pytest.raises(CheckpointError, match=r"audio\.xml: not a readable model"):
        load_model(tmp_path / "audio.xml", InferenceConfig())


@needs_onnx
def test_models_of_others(tmp_path: Path) -> None:
    import onnx

    value = onnx.helper.make_tensor_value_info("mel", onnx.TensorProto.FLOAT, ["B", 80, 3000])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["B", 80, 3000])
    node = onnx.helper.make_node("Relu", ["mel"], ["out"])
    graph = onnx.helper.make_graph([node], "g", [value], [out])
    model = onnx.helper.make_model(
        graph, ir_version=9, opset_imports=[onnx.helper.make_opsetid("", 18)]
    )
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match="not one that `quavf export` wrote"):
        load_model(tmp_path / "other.onnx", InferenceConfig())
    if has_openvino():
        with pytest.raises(CheckpointError, match="not one that `quavf export` wrote"):
            load_model(tmp_path / "other.onnx", OPENVINO)


@needs_onnx
def test_a_visual_branch_needs_its_own_classifier(exports, checkpoints, tmp_path):
    """The other one is alike but for its weights."""
    import onnx

    visual = Path(shutil.copy(main_file(exports["visual.onnx"]), tmp_path))
    with pytest.raises(CheckpointError, match=r"classifier\.onnx: no such file; visual\.onnx"):
        load_model(visual, InferenceConfig())
    other: Any = load_branch(checkpoints["visual"])
    torch.nn.init.ones_(other.head.weight)
    save_branch(tmp_path / "v.safetensors", other)
    classifier = onnx.load(main_file(exports["visual.onnx"]).with_name("visual.classifier.onnx"))
    (entry,) = (e for e in classifier.metadata_props if e.key == METADATA_KEY)
    entry.value = json.dumps(exporting._describe_export(tmp_path / "v.safetensors", other))
    onnx.save(classifier, tmp_path / "visual.classifier.onnx")
    with pytest.raises(CheckpointError, match=r"is of another branch than visual\.onnx"):
        load_model(visual, InferenceConfig())


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("a.pt", None, "must end in .onnx .onnx. or .xml .openvino."),
        ("a.onnx", "openvino", "must end in .xml"),
        ("a.xml", "onnx", "must end in .onnx"),
        ("a.onnx", "tflite", "'tflite' is not one of onnx, openvino"),
    ],
)
def test_formats(name, format, message, checkpoints, tmp_path):
    with pytest.raises(ConfigError, match=message):
        export(checkpoints["audio"], tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


@needs_onnx
@pytest.mark.usefixtures("reused_graphs")
def test_nothing_is_written_when_the_logits_differ(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "measure_parity", lambda *_: float("inf"))
    with pytest.raises(CheckpointError, match="logits are up to inf from torch's"):
        export(checkpoints["audio"], tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_onnx_files_have_a_limit(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "ONNX_LIMIT", 1000)
    with pytest.raises(CheckpointError, match=r"do not fit one ONNX file.*--format openvino"):
        export(checkpoints["audio"], tmp_path / "a.onnx")
