"""The command line: every command from end to end, and what a user may do wrong."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from argparse import SUPPRESS
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from jsonargparse import ArgumentParser

from quavf import __version__
from quavf.cli import main
from quavf.cli.commands import list_commands
from quavf.cli.parsing import HelpFormatter
from quavf.core.config import to_dict
from quavf.evaluation.config import EvaluateConfig
from quavf.store import ClipStore
from quavf.training.config import TrainAudioConfig, TrainVisualConfig
from quavf.workflows import evaluate, submit
from quavf.workflows import predict as pipeline
from tests.helpers import annotations as ego4d
from tests.helpers.media_files import tone, write_video, write_wav

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")

COMMANDS = list_commands()
HEAVY = {"torch", "lightning", "cv2", "pyarrow", "av", "onnxruntime", "matplotlib", "timm", "scipy"}
N_FRAMES = 24
AUDIO = [
    *("--audio.encoder", "16x1x2", "--audio.encoder-weights", "random"),
    *("--audio.dim", "16", "--audio.n_heads", "2"),
    *("--trainer.epochs", "1", "--trainer.batch-size", "2", "--trainer.accelerator", "cpu"),
]
VISUAL = {
    "visual": {
        "backbone": "test_vit",
        "backbone_weights": "random",
        "size": 64,
        "dim": 16,
        "n_heads": 2,
    },
    "windows": {"min_quality": 0.0, "step": 30},
    "trainer": {"epochs": 1, "batch_size": 2, "accelerator": "cpu"},
}


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def quavf(*words: object) -> Answer:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return Answer(code, out.getvalue(), err.getvalue())


def one_line_error(answer: Answer) -> str:
    """What is said beside the progress bar: one line, no traceback, exit code 2."""
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err + answer.out
    said = [line for line in answer.err.splitlines() if line.startswith("quavf: error: ")]
    assert len(said) == 1, answer.err
    assert answer.err.endswith(said[0] + "\n"), answer.err
    return said[0]


# Every command, in the order in which a user types them.


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips in Ego4D's layout and one challenge segment."""
    root = tmp_path_factory.mktemp("cli")
    people = [
        ego4d.person(1, ego4d.still(0, N_FRAMES)),
        ego4d.person(2, ego4d.still(0, N_FRAMES, x=80)),
    ]
    talking = [ego4d.segment(1, 0, 20, target="0"), ego4d.segment(2, 0, 20)]
    clips = [ego4d.clip(uid, people, talking) for uid in ("one", "two")]
    ego4d.write_annotations(root / "annotations", clips[:1], clips[1:])
    (root / "clips").mkdir()
    sound = tone(N_FRAMES / 30, 48_000)[None]
    write_video(root / "clips" / "one.mp4", N_FRAMES, sound=sound)
    shutil.copy(root / "clips" / "one.mp4", root / "clips" / "two.mp4")
    face = root / "test" / "segment" / "face"
    face.mkdir(parents=True)
    for frame in (3, 4, 18):
        cv2.imwrite(str(face / f"{frame}.jpg"), np.full((224, 224, 3), 100, np.uint8))
    write_wav(root / "test" / "segment" / "audio" / "aud.wav", tone(1.0, 16_000)[None])
    (root / "visual.yaml").write_text(yaml.safe_dump(VISUAL))
    published = {"one": {"1": dict.fromkeys(map(str, range(21)), 0.7)}}
    (root / "qualityScore.json").write_text(json.dumps(published))
    return root


@pytest.fixture(scope="module")
def steps(data: Path) -> dict[str, Answer]:
    """The answers of a whole run."""
    d = data
    store, challenge, both = d / "store", d / "challenge", ["--audio", d / "audio"]
    both += ["--visual", d / "visual"]
    sources = ["--annotations", d / "annotations", "--clips", d / "clips"]
    given = ["--import", d / "qualityScore.json", "--scorer", "given"]
    mine = ["--quality", "light", "--config", d / "visual.yaml", "--visual.n_layers", 2]
    few = ["--batch_size", 5, "--split=val"]
    pages = ["--n-resamples", 0, "--report", "--clips", d / "clips", "--moments.threshold", 0.7]
    commands: dict[str, list[object]] = {
        "prepare ego4d": [*sources, "--store", store],
        "prepare challenge": ["--root", d / "test", "--store", challenge],
        "quality": [store],
        "cues": [store],
        "quality challenge": [challenge, "--scorer", "light", "--batch-size", 2],
        "quality import": [store, *given],
        "train audio": ["--store", store, "--out", d / "audio", *AUDIO],
        "train visual": ["--store", store, "--out", d / "visual", *mine],
        "predict": [store, *both, "--out", d / "scores", "--device", "cpu"],
        "predict audio": [store, "--audio", d / "audio", "--out", d / "a"],
        "predict visual": [store, "--visual", d / "visual", "--out", d / "v", *few],
        "fuse": [d / "a", d / "v", "--out", d / "fused"],
        "evaluate": [d / "scores", "--store", store, "--out", d / "eval", "--n-resamples", 20],
        "evaluate report": [d / "scores", "--store", store, "--out", d / "pages", *pages],
        "predict challenge": [challenge, *both, "--out", d / "test_scores"],
        "submit": [d / "test_scores", "--out", d / "submission.json"],
        "submit check": ["--check", d / "submission.json", "--store", challenge],
        "import": [challenge, "--audio", d / "submission.json", "--out", d / "imported"],
        "train audio again": ["--store", store, "--out", d / "audio", *AUDIO],
    }
    answers = {}
    for name, words in commands.items():
        command = name if name in COMMANDS else name.split()[0]
        command = "train audio" if name == "train audio again" else command
        answers[name] = quavf(*command.split(), *words)
    return answers


def test_every_step_ends_well(steps: dict[str, Answer]) -> None:
    assert {name: answer.code for name, answer in steps.items()} == dict.fromkeys(steps, 0)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("prepare ego4d", ["Store", "face crops", "84", "4 (2 talking to me)"]),
        ("prepare challenge", ["face crops", "3"]),
        ("quality", ["Quality by 'light'", "crops", "84", "50% 0."]),
        ("cues", ["Cues", "faces", "84", "faces that the mesh reads  0%"]),
        ("quality import", ["Quality by 'given'", "crops without a score (they count as 0)"]),
        ("train audio", ["Training of the audio branch", "best validation mAP", "frames"]),
        ("train visual", ["Training of the visual branch", "windows", "/visual/best.safetensors"]),
        ("predict", ["faces", "84", "fused from both branches"]),
        ("predict visual", ["clips", "1", "faces", "42", "visual only"]),
        ("fuse", ["fused from both branches", "42", "audio only"]),
        ("import", ["Scores", "/imported", "faces", "3", "audio only"]),
        ("evaluate report", ["mAP", "Report of 2 clips: ", "/pages/report.html"]),
        ("evaluate", ["mAP", "Audio", "Visual", "Mean", "Fused", "Metrics and figures"]),
        ("submit", ["submission.json: 3 rows of 1 segments"]),
        ("submit check", ["ready to submit"]),
    ],
)
def test_steps_say_what_they_did(steps: dict[str, Answer], step: str, says: list[str]) -> None:
    text = steps[step].out
    for part in says:
        assert part in text, text
    assert "…" not in text  # nothing is cut off, nor broken in the middle


def test_steps_write_what_they_promise(steps: dict[str, Answer], data: Path) -> None:
    assert sorted(ClipStore.open(data / "store").clips()) == ["one", "two"]
    assert ClipStore.open(data / "store").scorers() == ["given", "light"]
    table = pq.read_table(data / "scores" / "scores.parquet")
    assert table.column_names == ["clip", "person", "frame", "audio", "visual", "quality", "fused"]
    assert table.num_rows == 84
    metrics = json.loads((data / "eval" / "metrics.json").read_text())
    assert {"audio", "visual", "mean", "fused"} <= set(metrics["frame"])
    assert {"map", "map_ci", "accuracy"} <= set(metrics["segment"]["fused"])
    content = json.loads((data / "submission.json").read_text())
    assert [row["frame_id"] for row in content["results"]] == [3, 4, 18]


def test_options_override_files_which_override_defaults(
    steps: dict[str, Answer], data: Path
) -> None:
    config = json.loads((data / "visual" / "config.json").read_text())
    assert config["visual"]["n_layers"] == 2  # option
    assert config["visual"]["dim"] == 16  # file
    assert config["visual"]["quality_bins"] == 20  # default
    audio = json.loads((data / "audio" / "config.json").read_text())
    assert audio["audio"]["encoder_weights"] == "random"  # typed with a hyphen
    assert audio["trainer"]["batch_size"] == 2


def test_finished_training_is_not_repeated(steps: dict[str, Answer]) -> None:
    again, first = steps["train audio again"], steps["train audio"]
    assert again.out == first.out
    assert "Training ━" not in again.err


def test_submission_with_problems(steps: dict[str, Answer], data: Path, tmp_path: Path) -> None:
    content = json.loads((data / "submission.json").read_text())
    content["results"][0]["score"] = 1.5
    del content["results"][1]
    (tmp_path / "x.json").write_text(json.dumps(content))
    answer = quavf("submit", "--check", tmp_path / "x.json", "--store", data / "challenge")
    assert answer.code == 1
    assert len(answer.out.splitlines()) == 2
    assert "score that is not a number in [0, 1]" in answer.out


def test_demo_calls_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    from quavf.workflows import demo

    called: list[Any] = []
    monkeypatch.setattr(demo, "demo", lambda *arguments: called.append(arguments))
    assert quavf("demo", "--out", "here", "--seed", 5).code == 0
    assert called[0][:2] == ("here", 5)


# Help.


def parser_of(name: str) -> ArgumentParser:
    parser = ArgumentParser(prog=f"quavf {name}", formatter_class=HelpFormatter)
    COMMANDS[name].add_options(parser)
    return parser


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    answer = quavf(*name.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith(f"usage: quavf {name} ")
    assert COMMANDS[name].summary in answer.out
    assert len(lines) < 112
    assert max(map(len, lines)) <= 100
    for unwanted in ("<class", "NoneType", "Union", "==SUPPRESS=="):
        assert unwanted not in answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_tells_what_it_is_for_and_its_default(name: str) -> None:
    parser = parser_of(name)
    text = " ".join(parser.format_help().split())
    shown = 0
    for action in parser._actions:
        if action.help in (SUPPRESS, "Path to a configuration file."):
            continue
        assert action.help, action
        if action.help.startswith("Former name"):
            assert action.help not in text
            continue
        first = " ".join(action.help.split())[:40].rstrip(" .")
        assert first in text, action
        shown += 1
        default = action.default
        is_shown = action.nargs != 0 and default not in ("", SUPPRESS)  # a switch is off
        if is_shown and isinstance(default, int | float | str):
            assert f"({default})" in text, action
    assert shown >= (2 if name == "doctor" else 3)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_top_level_lists_every_command(words: list[str]) -> None:
    answer = quavf(*words)
    assert answer.code == 0
    for name, command in COMMANDS.items():
        assert f"  {name} " in answer.out
        assert command.summary in answer.out
    assert len(answer.out.splitlines()) < 45


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["train", "cues"], "--look-ahead [A, B, ...]"),
        (["train", "cues"], "--stores [A, B, ...]"),
        (["train", "visual"], "--augment.crop_scale [LOW, HIGH]"),
        (["run"], "--moments.still_faces yes/no"),
    ],
)
def test_help_says_what_an_option_takes(words: list[str], shown: str) -> None:
    assert shown in quavf(*words, "--help").out


@pytest.mark.parametrize(("group", "n_commands"), [("train", 3), ("prepare", 7)])
@pytest.mark.parametrize("words", [[], ["--help"]])
def test_groups_list_their_commands(group: str, n_commands: int, words: list[str]) -> None:
    answer = quavf(group, *words)
    assert answer.code == 0
    listed = [line.strip() for line in answer.out.splitlines() if line.startswith("  ")]
    assert all(line.startswith(f"{group} ") for line in listed)
    assert len(listed) == n_commands


def test_version() -> None:
    assert quavf("--version") == (0, f"quavf {__version__}\n", "")


# Options.


def printed(*words: object) -> dict[str, Any]:
    answer = quavf(*words, "--store", "S", "--out", "O", "--print_config")
    assert (answer.code, answer.err) == (0, "")
    content = yaml.safe_load(answer.out)
    for former in ("soften", "cover"):
        assert content["augment"].pop(former) is None
    return {key: value for key, value in content.items() if key not in ("store", "out", "recipe")}


@pytest.mark.parametrize(
    ("branch", "config"), [("audio", TrainAudioConfig), ("visual", TrainVisualConfig)]
)
def test_recipe_is_the_published_one(branch: str, config: Any) -> None:
    """The published recipe is the defaults, with the published system's mistakes."""
    plain = json.loads(json.dumps(to_dict(config())))
    assert printed("train", branch) == plain
    expected = json.loads(json.dumps(to_dict(config(semantics="reference"))))
    for words in (["--recipe", "quavf"], ["--recipe=quavf"]):
        assert printed("train", branch, *words) == expected
    changed = printed("train", branch, "--recipe", "quavf", "--trainer.epochs", 3)
    assert changed["trainer"].pop("epochs") == 3
    assert changed["semantics"] == "reference"


def test_later_files_win(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("semantics: fixed\ntrainer: {lr: 0.1}")
    mine = ["--config", tmp_path / "mine.yaml"]
    found = printed("train", "audio", "--recipe", "quavf", *mine)
    assert (found["semantics"], found["trainer"]["lr"]) == ("fixed", 0.1)
    found = printed("train", "audio", *mine, "--recipe", "quavf")
    assert (found["semantics"], found["trainer"]["lr"]) == ("reference", 1e-5)


def test_printed_settings_can_be_given_back(tmp_path: Path) -> None:
    words = ["train", "visual", "--visual.dim", 16, "--augment.crop_scale", "[0.2,0.3]"]
    answer = quavf(*words, "--store", "S", "--out", "O", "--print_config")
    (tmp_path / "all.yaml").write_text(answer.out)
    again = quavf("train", "visual", "--config", tmp_path / "all.yaml", "--print_config")
    assert yaml.safe_load(again.out) == yaml.safe_load(answer.out)


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.batch-size", "3", "--audio.encoder-weights", "random"],
        ["--trainer.batch_size", "3", "--audio.encoder_weights", "random"],
        ["--trainer.batch-size=3", "--audio.encoder-weights=random"],
    ],
)
def test_hyphens_do_for_underscores(words: list[str]) -> None:
    found = printed("train", "audio", *words)
    assert (found["trainer"]["batch_size"], found["audio"]["encoder_weights"]) == (3, "random")


def test_hyphens_in_values_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def write(*args: Any) -> dict[str, int]:
        given.append(args)
        return {}

    monkeypatch.setattr(submit, "write_submission", write)
    with contextlib.suppress(KeyError):
        main(["submit", "my-scores", "--out", "a-b_c.json"])
    assert [args[:2] for args in given] == [("my-scores", "a-b_c.json")]


def test_former_name_of_an_option_works_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(evaluate, "evaluate", lambda *a: given.append(a[-1]))
    monkeypatch.setattr("quavf.report.evaluation.print_evaluation", lambda *a: None)
    main(["evaluate", "S", "--store", "S", "--out", "O", "--fixed-weight", "0.7"])
    assert given == [EvaluateConfig(face_weight=0.7)]
    assert "--fixed-weight is now --face-weight" in caplog.text


# Mistakes.


def table(folder: Path, **changes: Any) -> Path:
    """A scores folder with one row."""
    row = {"clip": ["segment"], "person": [1], "frame": [3]}
    row |= {name: [0.5] for name in ("audio", "visual", "quality", "fused")} | changes
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(row), folder / "scores.parquet")
    return folder


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bogus"], "no command 'bogus'; see `quavf --help`"),
        (["train", "smell"], "no command 'train smell'"),
        (["--bogus"], "no option '--bogus'"),
        (["predict"], "arguments are required: store, out; see `quavf predict --help`"),
        (["predict", "S", "--out", "O", "--bogus", "3"], "unrecognized arguments: --bogus 3"),
        (["predict", "S", "T", "--out", "O"], "unrecognized arguments: T"),
        (["predict", "S", "--out"], "--out: expected one argument"),
        (["predict", "S", "--out", "O", "--batch-size", "x"],
         "--batch-size: expected a whole number, found x"),
        (["predict", "S", "--out", "O", "--n-heads", "1.5"],
         "--n-heads: expected a whole number, found 1.5"),
        (["predict", "S", "--out", "O", "--split", "valid"], "split: 'valid' is not train, val"),
        (
            ["predict", "S", "--out", "O", "--audio=", "--visual=", "--cues="],
            "predict: no branch is left",
        ),
        (["predict", "S", "--audio", "C", "--out", "O"], "S: no store here (no store.json)"),
        (["evaluate", "S", "--store", "T", "--out", "O"], "no such file; make it with `quavf pred"),
        (["evaluate", "S", "--store", "T", "--out", "O", "--clips", "C"],
         "--clips is for the pages of --report"),
        (["evaluate", "S", "--store", "T", "--out", "O", "--confidence", "2"],
         "confidence is 2.0, expected between 0 and 1"),
        (["import", "S", "--out", "O"], "give a file with --audio, --visual, --cues, or several"),
        (["import", "S", "--audio", "A", "--out", "O"], "S: no store here"),
        (["fuse", "A", "B", "--out", "O"], "scores.parquet: no such file"),
        (["submit"], "use `SCORES --out FILE` to write, `--check FILE --store STORE`"),
        (["submit", "S"], "use `SCORES --out FILE` to write"),
        (["submit", "S", "--check", "F", "--store", "T"], "use `SCORES --out FILE` to write"),
        (["submit", "--check", "F"], "use `SCORES --out FILE` to write"),
        (["submit", "S", "--out", "F"], "scores.parquet: no such file"),
        (["submit", "--check", "F", "--store", "T"], "T: no store here"),
        (["quality", "S"], "S: no store here"),
        (["cues", "S"], "S: no store here"),
        (["cues", "S", "--runtime", "nose"], "runtime: 'nose' is not one of auto, openvino"),
        (["prepare", "ego4d"], "arguments are required: annotations, clips, store"),
        (["prepare", "ego4d", "--annotations", "A", "--clips", "C", "--store", "S"],
         "A: no av_train.json or av_val.json here"),
        (["prepare", "ego4d", "--annotations", "A", "--clips", "C", "--store", "S",
          "--semantics", "old"],
         "semantics: 'old' is not known; use one of ['fixed', 'reference']"),
        (["prepare", "challenge", "--root", "R", "--store", "S"], "R"),
        (["prepare", "published", "--root", "R", "--store", "S"], "R/faceCrops: not there"),
        (["train", "audio", "--store", "S"], "arguments are required: out"),
        (["train", "audio", "--store", "S", "--out", "O"], "S: no store here"),
        (["train", "audio", "--store", "S", "--out", "O", "--audio.dim", "7"],
         "dim 7 must be a multiple of n_heads 8"),
        (["train", "audio", "--store", "S", "--out", "O", "--audio.dim", "wide"],
         "--audio.dim: expected a whole number, found wide"),
        (["train", "audio", "--store", "S", "--out", "O", "--visual.dim", "8"],
         "unrecognized arguments: --visual.dim 8"),
        (["train", "audio", "--store", "S", "--out", "O", "--audio.frozen", "maybe"],
         "--audio.frozen: expected true or false, found maybe"),
        (["train", "audio", "--store", "S", "--out", "O", "--augment.noise_snr_db", "[1,2,3]"],
         "--augment.noise_snr_db: expected [LOW, HIGH], 2 numbers, found [1, 2, 3]"),
        (["train", "audio", "--store", "S", "--out", "O", "--augment.noise_snr_db", "[9,2]"],
         "noise_snr_db: 9.0 is over 2.0"),
        (["train", "audio", "--store", "S", "--out", "O", "--trainer.lr", "fast"],
         "--trainer.lr: expected a number, found fast"),
        (["train", "audio", "--store", "S", "--out", "O", "--semantics", "new"],
         "semantics: 'new' is not known"),
        (["train", "visual", "--store", "S", "--out", "O", "--recipe", "cake"],
         "--recipe: 'cake' is not known; use one of further, quavf, small"),
        (["train", "visual", "--store", "S", "--out", "O", "--recipe"], "--recipe: '' is not"),
        (["train", "visual", "--store", "S", "--out", "O", "--config", "F"], "does not exist"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_mistakes_get_one_line(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in one_line_error(quavf(*words))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("audio: [1, 2", "Problems parsing config"),
        ("just text", "Unexpected config: just text"),
        ("", "Unexpected config"),
        ("audoi: {dim: 16}", "'audoi.dim' is not accepted"),
        ("audio: {dmi: 16}", "Group 'audio' does not accept option 'dmi'"),
        ("audio: {dim: sixteen}", "--audio.dim: expected a whole number, found sixteen"),
        ("audio: {dim: 7}", "dim 7 must be a multiple"),
        ("trainer: 5", "--trainer: expected options of its own, found 5"),
        ("semantics: [1]", "semantics"),
    ],
)
def test_files_of_settings_that_do_not_fit(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    words = ["train", "audio", "--store", "S", "--out", "O", "--config", tmp_path / "mine.yaml"]
    message = one_line_error(quavf(*words))
    assert says in message
    if "config" in says or "accept" in says:  # no option's name tells where it stands
        assert str(tmp_path / "mine.yaml") in message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fused": [float("nan")]}, "column 'fused' has 1 values that are not in [0, 1]"),
        ({"audio": [1.5]}, "column 'audio' has 1 values that are not in [0, 1]"),
        ({"visual": ["high"]}, "a column has the wrong type"),
        ({"clip": [None]}, "column 'clip' has 1 empty rows"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["evaluate", "fuse", "submit"])
def test_damaged_scores(
    command: str, change: dict[str, Any], says: str, steps: dict[str, Answer], data: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    bad = table(tmp_path / "bad", **change)
    words = {
        "evaluate": ["evaluate", bad, "--store", data / "store", "--out", tmp_path / "o"],
        "fuse": ["fuse", bad, data / "v", "--out", tmp_path / "o"],
        "submit": ["submit", bad, "--out", tmp_path / "o"],
    }[command]
    assert says in one_line_error(quavf(*words))
    assert not (tmp_path / "o").exists()


Words = Callable[[Path, Path], list[object]]  # from the data's folder and an empty one


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (lambda d, t: ["evaluate", d / "test_scores", "--store", d / "challenge", "--out", t / "o"],
         "nothing is labelled in this store; a challenge set is not"),
        (lambda d, t: ["evaluate", d / "test_scores", "--store", d / "store", "--out", t / "o"],
         "none of the 3 scored rows lies in one of the 4 labelled segments"),
        (lambda d, t: ["fuse", d / "a", d / "test_scores", "--out", t / "file" / "o"],
         "cannot write (Not a directory)"),
        (lambda d, t: ["predict", d / "store", "--audio", d / "visual", "--out", t / "o"],
         "this is a checkpoint of the visual branch"),
        (lambda d, t: ["predict", d / "store", "--audio", t / "file", "--out", t / "o"],
         "not a checkpoint"),
        (lambda d, t: ["predict", d / "store", "--audio", t, "--out", t / "o"],
         "best.safetensors: no such file"),
        (lambda d, t: ["predict", d / "store", "--audio", d / "audio", "--out", t / "o",
                       "--device", "abacus"], "device: 'abacus' cannot be used"),
        (lambda d, t: ["predict", d / "store", "--visual", d / "visual", "--out", t / "o",
                       "--quality", "fan"], "no quality from 'fan' for every clip"),
        (lambda d, t: ["predict", d / "store", "--audio", d / "audio", "--out", t / "o",
                       "--encoder-heads", 4], "was trained with encoder_heads 2, not 4"),
        (lambda d, t: ["quality", d / "store", "--scorer", "nose"], "nose"),
        (lambda d, t: ["quality", d / "store", "--batch-size", 0, "--scorer", "fan"], "batch"),
        (lambda d, t: ["quality", d / "store", "--import", t / "none.json"], "no such file"),
        (lambda d, t: ["quality", d / "store", "--import", t / "file"], "not valid JSON"),
        (lambda d, t: ["quality", d / "challenge", "--import", d / "qualityScore.json"],
         "not one of its scores belongs"),
        (lambda d, t: ["train", "visual", "--store", d / "store", "--out", t / "o",
                       "--config", d / "visual.yaml"], "choose one with --quality"),
        (lambda d, t: ["train", "audio", "--store", d / "challenge", "--out", t / "o", *AUDIO],
         "the train split has 0 positive and 0 negative samples"),
        (lambda d, t: ["train", "audio", "--store", d / "store", "--out", d / "audio", *AUDIO,
                       "--trainer.lr", 1], "this run was started with other settings"),
        (lambda d, t: ["train", "audio", "--store", d / "store", "--out", t, *AUDIO],
         "is not empty and no training run"),
        (lambda d, t: ["prepare", "challenge", "--root", d / "test", "--store", d / "store"],
         "made with kind='ego4d', now asked for kind='challenge'"),
        (lambda d, t: ["prepare", "challenge", "--root", d / "test", "--store", t],
         "exists and is not a store"),
        (lambda d, t: ["submit", d / "v", "--out", t / "o"], "more than once"),
        (lambda d, t: ["submit", "--check", t / "file", "--store", d / "challenge"],
         "not valid JSON"),
    ],
)  # fmt: skip
def test_things_that_do_not_belong_together(
    words: Words, says: str, steps: dict[str, Answer], data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("something else")
    assert says in one_line_error(quavf(*words(data, tmp_path)))
    assert not (tmp_path / "o" / "scores.parquet").exists()


# What is not the user's mistake.


def test_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "predict", stop)
    answer = quavf("predict", "S", "--audio", "C", "--out", "O")
    assert answer == (130, "", "quavf: interrupted; repeat the command to resume\n")


def test_reader_that_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any, **options: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(pipeline, "predict", stop)
    assert quavf("predict", "S", "--audio", "C", "--out", "O") == (0, "", "")


def test_mistakes_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "predict", fail)
    with pytest.raises(ZeroDivisionError):
        quavf("predict", "S", "--audio", "C", "--out", "O")


# As a program.


def test_program(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "quavf"
    command = [str(program)] if program.is_file() else [sys.executable, "-m", "quavf"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: quavf <command>" in done.stdout
    done = subprocess.run([*command, "evaluate"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("quavf: error: the following arguments are required")


def test_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quavf", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"quavf {__version__}\n")


def test_help_is_light() -> None:
    """No command imports anything slow before it starts to work."""
    script = f"""
import contextlib, io, sys
from quavf.cli import main
for name in {list(COMMANDS)}:
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*name.split(), "--help"]) == 0
    loaded = {{module.partition(".")[0] for module in sys.modules}} & {HEAVY}
    assert not loaded, (name, loaded)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"], ["bogus"]])
def test_top_level_is_light(words: list[str]) -> None:
    """Nothing slow is imported before a command is known."""
    script = (
        f"import sys; from quavf.cli import main; main({words!r}); "
        "print('loaded', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split("loaded")[1].split()}
    assert not loaded & {*HEAVY, "numpy", "jsonargparse", "rich"}
