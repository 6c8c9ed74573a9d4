"""Reading and writing of small files: whole or not at all, one line when it fails."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quavf.core.errors import AnnotationError, ConfigError, QuavfError
from quavf.core.names import is_safe_name
from quavf.utils.files import (
    config_hash,
    explain_os_errors,
    read_json,
    read_text,
    refuse_links,
    replace_file,
    replace_folder,
    write_json,
    write_text,
)

TEXT = '{"ä": [1, "b"]}\nsecond\n'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_text_in_any_unicode(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(TEXT.replace("\n", newline).encode(encoding))
    assert read_text(path) == TEXT


def test_json_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes('{"a": "ü"}'.encode("utf-8-sig"))
    assert read_json(tmp_path / "x.json") == {"a": "ü"}


def test_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfa\x81 abc")
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"")
    assert read_text(tmp_path / "x") == ""


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a", True),
        ("aaaaaaaa-0000-4000-8000-000000000001", True),
        ("t4_long", True),
        ("a..b", True),
        ("x" * 200, True),
        ("x" * 201, False),
        ("", False),
        (".", False),
        ("..", False),
        (".hidden", False),
        ("-option", False),
        ("../x", False),
        ("/abs", False),
        ("a/b", False),
        ("a\\b", False),
        ("a b", False),
        ("a\n", False),
        ("a\0", False),
        ("é", False),
        ("*", False),
    ],
)
def test_safe_names(name: str, safe: bool) -> None:
    assert is_safe_name(name) is safe


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "empty; download or export it again"),
        (b" \n", "empty"),
        (b"{", r"not valid JSON .*line 1 column 2"),
        (b'{"a": 1}\n{"a": 2}', r"not valid JSON .*line 2 column 1"),
        (b"[1, 2", "not valid JSON"),
        (b"\xff\xfa{}", "cannot be read .*utf-8"),
        (b"[" * 100_000, "not valid JSON"),
        (b"1" * 5000, "not valid JSON"),
    ],
)
def test_unreadable_json(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnnotationError, match=rf"x\.json: .*{says}") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"cannot be read .*directory"):
        read_json(tmp_path)


def test_json_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_json(path, {"a": [1, 2.5, None, "é"], "b": (float("nan"), float("inf"))})
    assert read_json(path) == {"a": [1, 2.5, None, "é"], "b": [None, None]}
    assert path.read_text(encoding="utf-8").endswith("\n")


def test_config_hash() -> None:
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})
    assert config_hash(["a", "b"]) != config_hash(["ab"])
    assert config_hash({"p": Path("x")}) == "f73924b309a6b388"  # stable between versions


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_same_text_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_text(path, "é")
    os.utime(path, (1, 1))
    write_text(path, "é")
    assert path.stat().st_mtime == 1
    write_text(path, "e")
    assert path.stat().st_mtime > 1
    assert path.read_text() == "e"


@pytest.mark.parametrize("wrong", [ValueError, KeyboardInterrupt])
def test_replacing_is_all_or_nothing(tmp_path: Path, wrong: type[BaseException]) -> None:
    path = tmp_path / "deep" / "x"

    def fail() -> None:
        with replace_file(path) as temporary:
            temporary.write_text("half")
            raise wrong

    with pytest.raises(wrong):
        fail()
    assert names(path.parent) == []
    with replace_file(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(wrong):
        fail()
    assert path.read_text() == "old"
    assert names(path.parent) == ["x"]


@pytest.mark.parametrize("wrong", [ValueError, KeyboardInterrupt])
def test_replacing_folder_is_all_or_nothing(tmp_path: Path, wrong: type[BaseException]) -> None:
    path = tmp_path / "deep" / "clip"

    def fail() -> None:
        with replace_folder(path) as temporary:
            (temporary / "a").write_text("half")
            raise wrong

    with pytest.raises(wrong):
        fail()
    assert names(path.parent) == []
    with replace_folder(path) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(wrong):
        fail()
    assert (path / "a").read_text() == "old"
    with replace_folder(path) as temporary:
        (temporary / "b").write_text("new")
    assert names(path) == ["b"]
    assert names(path.parent) == ["clip"]


def test_an_older_folder_is_moved_away_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no time is there a folder that is half the old and half the new."""
    path = tmp_path / "clip"
    with replace_folder(path) as temporary:
        (temporary / "a").write_text("old")
    seen, rename_really = [], Path.rename

    def rename(self: Path, target: Path) -> Path:
        seen.append(names(path) if path.exists() else None)
        return rename_really(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with replace_folder(path) as temporary:
        (temporary / "b").write_text("new")
    assert seen == [["a"], None]
    assert names(path) == ["b"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_rights_follow_the_umask(tmp_path: Path, mask: int) -> None:
    """Temporary files are private; what they become is as any other file."""
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file", "x")
        with replace_folder(tmp_path / "folder"):
            pass
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


def write_into_folder(path: Path) -> None:
    with replace_folder(path) as temporary:
        (temporary / "x").write_text("x")


WRITERS: list[Callable[[Path], Any]] = [lambda path: write_text(path, "x"), write_into_folder]


@pytest.mark.parametrize("write", WRITERS, ids=["file", "folder"])
def test_below_a_file_nothing_can_be_written(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(QuavfError, match=r"file.*: cannot write \((Not a directory|File exists)\)"):
        write(tmp_path / "file" / "sub" / "x")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("write", WRITERS, ids=["file", "folder"])
def test_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Any]
) -> None:
    def full(self: Path, text: str, encoding: str | None = None) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(QuavfError, match=r"/out: cannot write \(No space left on device\); check"):
        write(tmp_path / "out")
    assert names(tmp_path) == []


def test_only_os_errors_are_taken_for_the_users(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ours"), explain_os_errors(tmp_path):
        raise ValueError("ours")
    with pytest.raises(AnnotationError, match="theirs"), explain_os_errors(tmp_path):
        raise AnnotationError("theirs")


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    """What is behind them was not named; links inside, and to files, do no harm."""
    out, other = tmp_path / "out", tmp_path / "other"
    (out / "real").mkdir(parents=True)
    other.mkdir()
    (out / "inside").symlink_to(out / "real")
    (out / "file").symlink_to(tmp_path / "some.txt")
    refuse_links(out, "*")
    (out / "store").symlink_to(other)
    with pytest.raises(ConfigError, match=r"out/store: a link to .*other, outside"):
        refuse_links(out, "*")
    refuse_links(tmp_path / "new", "*")
