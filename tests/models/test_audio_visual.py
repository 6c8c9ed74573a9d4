"""Both models: the published outputs and names, a plain NumPy attention, what is frozen."""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quavf.core.branches import BRANCHES
from quavf.core.errors import ConfigError, StoreError
from quavf.core.records import Segment
from quavf.core.windows import WindowConfig
from quavf.inference.clip import ClipData
from quavf.models import published
from quavf.models.audio import AudioBranch, _mel_filters, log_mel
from quavf.models.checkpoint import load_branch
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.temporal import TemporalModule
from quavf.models.visual import VisualBranch
from quavf.store import ClipStore
from quavf.training.audio import AudioTraining
from quavf.training.audio_samples import AudioTrainSet
from quavf.training.config import AugmentConfig, TrainAudioConfig, TrainVisualConfig
from quavf.training.validate import Validator
from quavf.training.visual_samples import VisualTrainSet
from tests.helpers.data import GOLDEN, needs_golden
from tests.helpers.published import published_state, tiny_audio, tiny_visual, write_published
from tests.helpers.stores import make_store, make_tiny_store


@cache
def golden(name: str) -> Any:
    return torch.load(GOLDEN / name, weights_only=True)


def golden_branch(name: str, folder: Path, **options: Any) -> Any:
    torch.save({"model": golden(name)["state_dict"], "metric": 0.5}, folder / name)
    return load_branch(folder / name, **options)


def mels() -> Tensor:
    second = np.load(GOLDEN / "audio_mel2_f16.npy").astype(np.float32)
    return torch.from_numpy(np.stack([np.load(GOLDEN / "logmel.npz")["mel"], second]))


# Against the published system.


@needs_golden
def test_published_audio_logits(tmp_path: Path) -> None:
    branch = golden_branch("audio_tiny_L1.pt", tmp_path, encoder_heads=2, n_heads=4)
    with torch.inference_mode():
        logits = branch(mels())
    assert logits.shape == (2, 2, 900)
    torch.testing.assert_close(logits, golden("audio_tiny_L1.pt")["logits"], rtol=0, atol=1e-5)


@needs_golden
def test_published_visual_features_and_logits(tmp_path: Path) -> None:
    name = "visual_test_resnet_score1_L1.pt"
    branch = golden_branch(name, tmp_path, n_heads=4)
    given = np.load(GOLDEN / "visual_input_f16.npz")
    crops = torch.from_numpy(given["faceCrops"].astype(np.float32))
    with torch.inference_mode():
        features = branch.encode(crops.flatten(0, 1)).view(6, 15, -1)
        logits = branch(crops, torch.from_numpy(given["score"]))
        in_float32 = branch(crops, torch.from_numpy(given["score"]).float())
    torch.testing.assert_close(features, golden(name)["backbone_feat"], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, golden(name)["logits"], rtol=0, atol=1e-5)
    assert torch.equal(logits, in_float32)


@needs_golden
def test_published_log_mel() -> None:
    given = np.load(GOLDEN / "logmel.npz")
    samples = torch.from_numpy(given["wav_int16"].astype(np.float32) / 32768)
    np.testing.assert_allclose(log_mel(samples[None])[0], given["mel"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(_mel_filters(), given["mel_filters"], rtol=0, atol=1e-7)


@cache
def full_size_keys() -> dict[str, dict[str, tuple[Tensor, str]]]:
    """Of each published model its keys, with a weight that holds nothing and what it is for."""
    models: dict[str, dict[str, tuple[Tensor, str]]] = {}
    for line in (GOLDEN / "state_dict_keys_fullsize.txt").read_text().splitlines():
        if line.startswith("#"):
            keys = models.setdefault(line.split()[1], {})
        elif line:
            key, shape, kind, role = line.split("\t")
            value = torch.zeros((), dtype=getattr(torch, kind)).expand(ast.literal_eval(shape))
            keys[key] = value, role
    return models


@needs_golden
@pytest.mark.parametrize(("kind", "n_keys", "n_trained"), [("audio", 196, 4107266),
                                                           ("visual", 330, 2383362)])  # fmt: skip
def test_published_full_size_names_fit_one_to_one(
    kind: str, n_keys: int, n_trained: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every weight has its place and shape, none is left over, the same ones are trained.

    On the meta device, where weights have no values; `test_full_size_checkpoint_loads` has them.
    """
    keys = full_size_keys()[kind]
    assert len(keys) == n_keys
    state = {key: value.to("meta") for key, (value, _) in keys.items()}
    monkeypatch.setattr(published, "read_weights", lambda path: {"model": state})
    (tmp_path / "x.ckpt").write_bytes(b"PK")
    with torch.device("meta"):
        branch = load_branch(tmp_path / "x.ckpt")
    unused = {key for key in keys if key.startswith("inProj.") and kind == "visual"}
    assert len(branch.state_dict()) == n_keys - len(unused)
    named = published_state(branch)
    for key in named.keys() - unused:
        assert named[key].shape == keys[key][0].shape, key
        assert named[key].dtype == keys[key][0].dtype, key
    assert named.keys() == keys.keys()
    trained = {key for key, (_, role) in keys.items() if role == "train"}
    assert sum(keys[key][0].numel() for key in trained) == n_trained
    ours = sum(p.numel() for p in branch.parameters() if p.requires_grad)
    assert ours == n_trained - sum(keys[key][0].numel() for key in unused)


@pytest.mark.slow
@needs_golden
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("audio", AudioConfig(encoder="small", encoder_weights="random")),
        ("visual", VisualConfig(backbone="resnet50", backbone_weights="random")),
    ],
)
def test_full_size_checkpoint_loads(kind: str, expected: Any, tmp_path: Path) -> None:
    state = {key: value for key, (value, _) in full_size_keys()[kind].items()}
    state["predHead.1.bias"] = torch.tensor([3.0, 4.0])
    torch.save({"metric": np.float64(0.7), "model": state}, tmp_path / "best.ckpt")
    branch: Any = load_branch(tmp_path / "best.ckpt")
    assert branch.config == expected
    assert branch.settings == BranchSettings("reference")
    assert branch.head.bias.tolist() == [3.0, 4.0]
    assert branch.head.weight.abs().sum() == 0


# The temporal module.


def naive_attention(module: nn.Module, x: np.ndarray, n_heads: int) -> np.ndarray:
    """The same by the formula: softmax(q k / sqrt(d)) v for each head, over token and inputs."""
    weights = {k: v.detach().double().numpy() for k, v in module.state_dict().items()}
    batches = []
    for inputs in x:  # (T, D)
        rows = np.vstack([weights["position.weight"][:1], inputs + weights["position.weight"][1:]])
        projected = rows @ weights["attention.in_proj_weight"].T + weights["attention.in_proj_bias"]
        q, k, v = np.split(projected, 3, axis=1)  # (1 + T, D) each
        heads = []
        for columns in np.split(np.arange(rows.shape[1]), n_heads):
            scores = q[:, columns] @ k[:, columns].T / np.sqrt(len(columns))
            share = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(share / share.sum(axis=1, keepdims=True) @ v[:, columns])
        joined = np.hstack(heads) @ weights["attention.out_proj.weight"].T
        batches.append(joined + weights["attention.out_proj.bias"])
    return np.stack(batches)


@pytest.mark.parametrize(
    ("length", "dim", "n_heads", "batch"), [(1, 4, 1, 1), (15, 8, 2, 3), (7, 12, 4, 2)]
)
@pytest.mark.parametrize("training", [True, False])
def test_temporal_module(length: int, dim: int, n_heads: int, batch: int, training: bool) -> None:
    torch.manual_seed(0)
    module = TemporalModule(length, dim, n_heads).train(training)
    torch.nn.init.normal_(module.attention.in_proj_bias)
    torch.nn.init.normal_(module.attention.out_proj.bias)
    x = torch.randn(batch, length, dim)
    expected = naive_attention(module, x.double().numpy(), n_heads)
    with torch.inference_mode():
        found = module(x)
    assert found.shape == (batch, 1 + length, dim)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


# The audio branch.


@pytest.mark.parametrize("n_samples", [0, 1, 399, 16_000, 480_000])
def test_log_mel_of_any_length(n_samples: int) -> None:
    torch.manual_seed(0)
    sound = torch.rand(2, n_samples) - 0.5
    mel = log_mel(sound)
    assert mel.shape == (2, 80, 3000)
    assert mel.dtype == torch.float32
    padded = torch.cat([sound, torch.zeros(2, 480_000 - n_samples)], dim=1)
    torch.testing.assert_close(mel, log_mel(padded))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_log_mel_is_the_same_in_mixed_precision(precision: torch.dtype) -> None:
    """Training in bf16 hears what prediction in float32 hears."""
    sound = torch.randn(2, 16_000)
    with torch.autocast("cpu", precision):
        mel = log_mel(sound)
    assert mel.dtype == torch.float32
    assert torch.equal(mel, log_mel(sound))


def test_log_mel_of_silence_is_flat() -> None:
    assert torch.equal(log_mel(torch.zeros(1, 16_000)), torch.full((1, 80, 3000), -1.5))


def test_log_mel_is_scaled_for_each_sound_alone() -> None:
    torch.manual_seed(0)
    loud, soft = torch.rand(1, 16_000) - 0.5, (torch.rand(1, 16_000) - 0.5) / 1000
    both = log_mel(torch.cat([loud, soft]))
    torch.testing.assert_close(both, torch.cat([log_mel(loud), log_mel(soft)]))


@pytest.mark.parametrize("n_layers", [1, 2])
def test_audio_branch_by_its_parts(n_layers: int) -> None:
    """Projection, temporal modules without their class token, 1500 -> 900 by averages, head."""
    branch = tiny_audio(n_layers=n_layers)
    torch.manual_seed(1)
    mel = torch.randn(2, 80, 3000)
    with torch.inference_mode():
        logits = branch(mel)
        x = branch.project(branch.encoder(mel).last_hidden_state).clamp(min=0).double().numpy()
        for module in branch.temporal:
            x = naive_attention(module, x, n_heads=2)[:, 1:]
        edges = [(i * 1500 // 900, -(-(i + 1) * 1500 // 900)) for i in range(900)]
        pooled = np.stack([x[:, a:b].mean(axis=1) for a, b in edges], axis=1)  # (2, 900, D)
        weight, bias = branch.head.weight.double().numpy(), branch.head.bias.double().numpy()
    assert logits.shape == (2, 2, 900)
    expected = (pooled @ weight.T + bias).transpose(0, 2, 1)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


# The visual branch.


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("use_quality", [True, False])
def test_visual_branch_by_its_parts(n_layers: int, use_quality: bool) -> None:
    branch = tiny_visual(n_layers=n_layers, use_quality=use_quality)
    torch.manual_seed(1)
    crops, quality = torch.randn(3, 15, 3, 160, 160), torch.tensor([0.0, 0.52, 1.0])
    with torch.inference_mode():
        logits = branch(crops, quality)
        x = torch.stack([branch.backbone(window) for window in crops]).double().numpy()
        for module in branch.temporal:
            tokens = naive_attention(module, x, n_heads=2)
            x = tokens[:, 1:]
        top = tokens[:, 0]
        if use_quality:
            assert branch.quality_embedding is not None
            rows = branch.quality_embedding.weight[[0, 10, 20]].double().numpy()
            top = np.hstack([top, rows])
        weight, bias = branch.head.weight.double().numpy(), branch.head.bias.double().numpy()
    assert logits.shape == (3, 2)
    np.testing.assert_allclose(logits, top @ weight.T + bias, rtol=0, atol=1e-5)


def test_quality_is_not_looked_at_when_it_is_not_used() -> None:
    branch = tiny_visual(use_quality=False)
    features = torch.randn(2, 15, 16)
    logits = [branch.classify(features, torch.full((2,), q)) for q in (0.0, 1.0, float("nan"))]
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


@cache
def one_visual() -> VisualBranch:
    return tiny_visual()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("quality", "row"),
    [
        (0.0, 0),
        (float(np.nextafter(np.float32(0.05), 0, dtype=np.float32)), 0),
        (0.5, 10),
        (float(np.nextafter(np.float32(0.5), 0, dtype=np.float32)), 9),
        (float(np.nextafter(np.float32(1), 0, dtype=np.float32)), 19),
        (1.0, 20),
        (1.3, 20),  # beyond the scale, as a published scorer may be
        (-0.1, 0),
        *[(k / 20, k) for k in range(21)],
    ],
)
def test_quality_bins(quality: float, row: int, kind: torch.dtype) -> None:
    """Row int(quality * 20), also where 20 times a float32 is not what it seems to be."""
    branch = one_visual()
    assert branch.quality_embedding is not None
    features = torch.zeros(1, 15, 16)
    with torch.inference_mode():
        branch.quality_embedding.weight.copy_(torch.arange(21.0)[:, None].expand(21, 16))
        branch.head.weight.copy_(torch.eye(2, 32).roll(16, 1))  # the embedding's first two values
        branch.head.bias.zero_()
        logits = branch.classify(features, torch.tensor([quality], dtype=kind))
    assert logits.tolist() == [[row, row]]


def test_other_numbers_of_slots_and_bins() -> None:
    torch.manual_seed(0)
    config = VisualConfig("test_vit", "random", dim=16, n_heads=2, quality_bins=4)
    branch = VisualBranch(config, BranchSettings(windows=WindowConfig(n_slots=3))).eval()
    assert branch(torch.randn(2, 3, 3, 160, 160), torch.tensor([0.0, 1.0])).shape == (2, 2)
    assert branch.quality_embedding is not None
    assert branch.quality_embedding.weight.shape == (5, 16)


@pytest.mark.parametrize("name", ["", "resnet51", "resnet50.no_such_weights", "local-dir:/nowhere"])
def test_unknown_backbone(name: str) -> None:
    with pytest.raises(ConfigError, match=f"timm has no model '{name}'"):
        VisualBranch(VisualConfig(backbone=name))


def test_backbone_for_pictures_of_another_size() -> None:
    with pytest.raises(ConfigError, match="test_vit3 takes pictures of 160 x 160 only, faces are"):
        VisualBranch(VisualConfig(backbone="test_vit3"))


@pytest.mark.parametrize(
    ("backbone", "learning"),
    [
        ("test_vit", {"head.weight", "head.bias"}),
        ("test_resnet", {"fc.weight", "fc.bias"}),
        ("test_efficientnet", {"classifier.weight", "classifier.bias"}),
        ("test_convnext", {"head.fc.weight", "head.fc.bias"}),
        (
            "deit_tiny_distilled_patch16_224",
            {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"},
        ),
    ],
)
def test_frozen_image_network_learns_nothing_but_its_last_layer(
    backbone: str, learning: set[str]
) -> None:
    """Loose weights, such as a transformer's class token and positions, are frozen too."""
    branch = tiny_visual(backbone)
    weights = dict(branch.backbone.named_parameters())
    assert {name for name, weight in weights.items() if weight.requires_grad} == learning
    inside = {id(w) for module in branch.frozen_modules() for w in module.parameters()}
    assert len(inside) > 3
    assert inside.isdisjoint({id(weights[name]) for name in learning})


def test_frozen_image_network_passes_gradients_to_its_last_layer() -> None:
    branch = tiny_visual()
    branch(torch.randn(1, 15, 3, 160, 160), torch.rand(1)).sum().backward()
    learning = [name for name, weight in branch.named_parameters() if weight.grad is not None]
    assert {name for name in learning if "backbone." in name} == {
        "backbone.head.weight",
        "backbone.head.bias",
    }
    assert "temporal.0.position.weight" in learning
    assert "quality_embedding.weight" in learning


@pytest.mark.parametrize("make", [tiny_audio, tiny_visual])
def test_unfrozen_networks_learn(make: Any) -> None:
    branch = make(frozen=False)
    assert branch.frozen_modules() == []
    network = branch.encoder if isinstance(branch, AudioBranch) else branch.backbone
    still = [n for n, p in network.named_parameters() if not p.requires_grad]
    assert still in ([], ["embed_positions.weight"])  # sinusoids in Whisper: never trained


def test_frozen_encoder_learns_nothing() -> None:
    branch = tiny_audio()
    branch.train()
    branch(torch.randn(1, 80, 3000)).sum().backward()
    assert all(weight.grad is None for weight in branch.encoder.parameters())
    assert all(p.grad is not None for n, p in branch.named_parameters() if "encoder." not in n)


# Training samples.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """One clip, of the train split."""
    return make_tiny_store(tmp_path_factory.mktemp("tiny") / "store", splits=("train",))


@needs_golden
def test_published_class_counts(e2e_store: Path) -> None:
    """Windows and frames of each class, and every window's quality, as the published lists say."""
    import gzip
    import json

    with gzip.open(GOLDEN / "dataset_lists.json.gz", "rt") as file:
        lists = json.load(file)
    store = ClipStore.open(e2e_store)
    visual = VisualTrainSet(
        store, replace(TrainVisualConfig(semantics="reference"), quality="imported")
    )
    wanted = lists["visual_train"]
    assert (visual.counts.positive, visual.counts.negative) == (wanted["pos"], wanted["neg"])
    assert sorted(visual.quality.tolist()) == sorted(item[-1] for item in wanted["items"])
    audio = AudioTrainSet(store, TrainAudioConfig(semantics="reference"))
    wanted = lists["audio_train"]
    assert (audio.counts.positive, audio.counts.negative) == (wanted["pos"], wanted["neg"])
    assert len(audio) == len(wanted["items"])


def test_empty_slots_are_zero_after_normalisation(tiny: ClipStore) -> None:
    config = TrainVisualConfig(windows=WindowConfig(min_quality=0.0))
    data = VisualTrainSet(tiny, replace(config, quality="light"))
    assert len(data) > 10
    for index in (0, 5):
        crops, quality, label = data[index]
        empty = torch.from_numpy(data.slots[index] == -1)
        assert 0 < int(empty.sum()) < 15
        assert crops[empty].abs().max() == 0
        assert crops[~empty].abs().amax(dim=(1, 2, 3)).min() > 0
        assert quality.item() == data.quality[index]
        assert label.item() == data.labels[index]


def test_windows_hold_crops_of_one_person_half_a_second_apart(tiny: ClipStore) -> None:
    data = VisualTrainSet(
        tiny, replace(TrainVisualConfig(windows=WindowConfig(min_quality=0.0)), quality="light")
    )
    faces = tiny.faces("clip0")
    seen = set()
    for slots, label in zip(data.slots, data.labels.tolist(), strict=True):
        rows = slots[slots >= 0]
        (person,) = set(faces.person[rows].tolist())
        frames = faces.frame[rows] - np.flatnonzero(slots >= 0) * 15
        assert len(set(frames.tolist())) == 1
        seen.add((person, label))
    assert seen == {(1, 1), (1, 0), (2, 0)}


def test_flip_mirrors_all_crops_of_a_window(tiny: ClipStore) -> None:
    windows = WindowConfig(min_quality=0.0)
    plain = VisualTrainSet(tiny, replace(TrainVisualConfig(windows=windows), quality="light"))[3][0]
    config = TrainVisualConfig(windows=windows, augment=AugmentConfig(flip=1.0))
    flipped = VisualTrainSet(tiny, replace(config, quality="light"))[3][0]
    assert torch.equal(flipped, plain.flip(-1))


def test_noise_is_added_as_often_as_asked(tiny: ClipStore) -> None:
    plain = AudioTrainSet(tiny, TrainAudioConfig())[0]
    noisy = AudioTrainSet(tiny, TrainAudioConfig(augment=AugmentConfig(noise=1.0)))[0]
    assert torch.equal(plain[1], noisy[1])
    assert not torch.equal(plain[0], noisy[0])
    assert noisy[0][int((noisy[1] >= 0).sum()) * 16_000 // 30 + 600 :].abs().max() == 0


def test_clips_without_sound_are_no_audio_samples(tmp_path: Path) -> None:
    store = make_tiny_store(tmp_path / "store", ("train",), sound=False, faces=False)
    with pytest.raises(StoreError, match=r"0 positive and 0 negative samples \(labelled sound\)"):
        AudioTrainSet(store, TrainAudioConfig())


def test_no_window_of_quality(tiny: ClipStore) -> None:
    config = TrainVisualConfig(windows=WindowConfig(min_quality=1.0))
    with pytest.raises(StoreError, match=r"window of quality 1\.0 or more"):
        VisualTrainSet(tiny, replace(config, quality="light"))


# Validation.


@pytest.mark.parametrize("make", [tiny_audio, tiny_visual])
def test_validation_judges_what_prediction_gives(tmp_path: Path, make: Any) -> None:
    from quavf.evaluation.metrics import mean_average_precision
    from quavf.inference.audio import AudioPredictor
    from quavf.inference.visual import VisualPredictor

    faces = {1: range(0, 60, 6), 2: range(3, 40, 9)}
    segments = [Segment(1, 0, 30, 1), Segment(1, 31, 50, 0), Segment(2, 0, 30, 0)]
    tiny = make_store(tmp_path / "store", faces, segments, clips=("b", "a"))
    branch = make()
    validator = Validator(BRANCHES.get(branch.name).load("training")(), branch, tiny, "light")
    for clip in tiny.clips():
        validator.add(clip, "cpu")
    found = validator.mean_average_precision(validator.take())
    assert validator.take() == []
    scores, labels = [], []
    for clip in tiny.clips():
        data = ClipData(tiny, clip)
        audio = isinstance(branch, AudioBranch)
        scores.append(
            AudioPredictor(branch).score_faces(data)["audio"]
            if audio
            else VisualPredictor(branch, scorer="light").score_faces(data)["visual"]
        )
        for person, frame in zip(data.faces.person, data.faces.frame, strict=True):
            found_labels = [
                s.label
                for s in data.manifest.segments
                if s.person == person and s.start_frame <= frame <= s.last_frame
            ]
            labels.append(found_labels[0] if found_labels else -1)
    scored = np.array(labels) >= 0
    assert 0 < scored.sum() < len(scored)
    expected = mean_average_precision(np.array(labels)[scored], np.concatenate(scores)[scored])
    assert found == pytest.approx(expected, abs=1e-12)


def test_validation_without_faces_judges_every_labelled_frame(tmp_path: Path) -> None:
    store = make_tiny_store(tmp_path / "store", ("val",), faces=False)
    validator = Validator(AudioTraining(), tiny_audio(), store)
    validator.add("clip0", "cpu")
    (part,) = validator._parts
    expected = [(1, f) for f in [*range(61), *range(80, 120)]] + [(2, f) for f in range(30, 96)]
    assert list(zip(part[1].tolist(), part[2].tolist(), strict=True)) == expected
    assert ((part[3] > 0) & (part[3] < 1)).all()
    assert 0 < validator.mean_average_precision(validator.take()) <= 1


def test_validation_without_sound_or_faces_has_no_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_tiny_store(tmp_path / "store", ("val",), faces=False, sound=False)
    validator = Validator(AudioTraining(), tiny_audio(), store)
    validator.add("clip0", "cpu")
    assert np.isnan(validator.mean_average_precision(validator.take()))
    assert "no validation mAP" in caplog.text


def test_validation_of_one_class_has_no_value(
    tiny: ClipStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tiny.manifest("clip0")
    positive = tuple(s for s in manifest.segments if s.label == 1)
    monkeypatch.setattr(
        tiny, "manifest", lambda clip: replace(manifest, clip=clip, segments=positive)
    )
    validator = Validator(AudioTraining(), tiny_audio(), tiny)
    validator.add("clip0", "cpu")
    assert np.isnan(validator.mean_average_precision(validator.take()))
    assert "no validation mAP" in caplog.text


def test_write_published_is_what_load_branch_reads(tmp_path: Path) -> None:
    """The helper of these tests and of others, against the code that it tests."""
    for branch in (tiny_audio(), tiny_visual()):
        path = write_published(tmp_path / "x.ckpt", branch)
        loaded = load_branch(path, encoder_heads=2, n_heads=2)
        assert all(
            torch.equal(a, b)
            for a, b in zip(branch.state_dict().values(), loaded.state_dict().values(), strict=True)
        )
