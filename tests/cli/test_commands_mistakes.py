"""Mistakes of users that libraries answer with tracebacks, or not at all: one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from quavf.cli import main
from quavf.store import ClipStore, StoreConfig
from tests.helpers.stores import make_tiny_store

TINY = ["--audio.encoder=16x1x2", "--audio.encoder_weights=random", "--audio.dim=16"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_store(tmp_path_factory.mktemp("mistakes") / "store", ("train",)).path


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    code, said = main(words), capsys.readouterr().err
    assert code == 2
    (line,) = [line for line in said.splitlines() if line.startswith("quavf: error: ")]
    assert said.endswith(line + "\n")
    return line


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("precision=fp16", "trainer.precision: 'fp16' is not one of 32-true, bf16-mixed"),
        ("precision=16-true", "trainer.precision: '16-true' is not one of"),
        ("accelerator=tpu", "trainer: cannot train with accelerator tpu"),
        ("accelerator=abacus", "invalid accelerator name: `accelerator='abacus'`"),
        ("strategy=luck", "invalid strategy name: `strategy='luck'`"),
        ("devices=0", "`Trainer(devices=0)` value is not a valid input"),
        ("devices=many", "trainer: cannot train with accelerator cpu, devices many"),
    ],
)
def test_training_that_cannot_be(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, says: str
) -> None:
    cpu = [] if option.startswith("accelerator") else ["--trainer.accelerator=cpu"]
    words = ["train", "audio", "--store", str(store), "--out", str(tmp_path / "run"), *TINY, *cpu]
    assert says in error_of([*words, f"--trainer.{option}"], capsys)
    assert not (tmp_path / "run").exists()


def aliases(n_levels: int) -> bytes:
    """Nine times nine times nine … values in a few hundred bytes."""
    lines = ["a0: &a0 [" + ",".join("x" * 9) + "]"]
    lines += [f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 9)}]" for k in range(1, n_levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("start: é".encode("latin-1"), "not UTF-8 text (byte 7); save the file as UTF-8"),
        ("start: é".encode("utf-16"), "not UTF-8 text (byte 0)"),
        (aliases(9), "nesting or aliases unfold to more than 10,000 values"),
        (b"a: &a [*a]\n", "nesting or aliases unfold to more than 10,000 values"),
        (b"[" * 500 + b"]" * 500, "nesting or aliases unfold|Problems parsing config"),
        (b"a: " + b"x" * 2_000_000, "too large for a file of options"),
        (b"a: \0", "Problems parsing config: unacceptable character"),
    ],
    ids=["latin-1", "utf-16", "aliases", "inside itself", "deep", "large", "zero"],
)
def test_files_of_options_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str
) -> None:
    path = tmp_path / "options.yaml"
    path.write_bytes(content)
    line = error_of(["train", "audio", "--store=S", "--out=O", f"--config={path}"], capsys)
    assert "options.yaml: " in line
    assert any(part in line for part in says.split("|"))


def test_quality_of_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ClipStore.create(tmp_path / "store", StoreConfig("ego4d", "fixed", "grown")).path
    scores = tmp_path / "q.json"
    scores.write_text("{}")
    for words in ([], ["--import", str(scores)]):
        line = error_of(["quality", str(path), *words], capsys)
        assert "store: no clip in this store; fill it with `quavf prepare`" in line


def test_an_output_folder_that_vanished(
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a training writes there; the folder above is a file then, which none can write to."""
    from quavf.training.callbacks import Saver

    out = tmp_path / "runs" / "one"

    def vanish(*arguments: object) -> None:
        out.parent.rename(tmp_path / "moved")
        out.parent.write_text("in the way")
        (out / "last.safetensors").write_text("weights")

    monkeypatch.setattr(Saver, "on_train_epoch_end", vanish)
    words = ["train", "audio", "--store", str(store), "--out", str(out), *TINY]
    line = error_of([*words, "--trainer.accelerator=cpu"], capsys)
    assert "cannot write (Not a directory); check free space and permissions there" in line
