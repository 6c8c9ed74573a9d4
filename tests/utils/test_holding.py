"""One process at a time in an output folder; what killed ones left there goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quavf.core.errors import ConfigError, QuavfError
from quavf.utils.files import remove_leftovers, replace_file, replace_folder
from quavf.utils.holding import LOCK, hold_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def hold(folder: Path) -> None:
    with hold_folder(folder):
        pass


def test_a_folder_is_held_once(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    with hold_folder(out):
        (out / "scores").touch()
        with pytest.raises(
            ConfigError, match=rf"out: process {os.getpid()} on \S+ \(.*since 2"
        ) as e:
            hold(out)
        assert str(e.value).endswith("is writing here; wait until it ends, or choose another --out")
        assert names(out) == [LOCK, "scores"]
    assert names(out) == ["scores"]
    hold(out)


def test_a_block_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with hold_folder(tmp_path / "a" / "out"):
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert names(tmp_path) == []
    (tmp_path / "empty").mkdir()
    hold(tmp_path / "empty")
    assert names(tmp_path) == ["empty"]  # it was there before


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(QuavfError, match=r"file.*: cannot write \((Not a directory|File exists)\)"):
        hold(tmp_path / "file" / "out")


SCRIPT = (
    "import sys\n"
    "from pathlib import Path\n"
    "from quavf.utils.files import replace_file, replace_folder\n"
    "from quavf.utils.holding import hold_folder\n"
    "out = Path(sys.argv[1])\n"
    "video, clip = replace_file(out / 'video'), replace_folder(out / 'clip')\n"
    "with hold_folder(out), video as a, clip as b:\n"
    "    a.write_text('half')\n"
    "    (b / 'x').write_text('half')\n"
    "    print('writing', flush=True)\n"
    "    sys.stdin.read()\n"
)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command, pipe = [sys.executable, "-c", SCRIPT, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        remove_leftovers(tmp_path)  # it is still writing
        assert len(names(tmp_path)) == 3
        with pytest.raises(ConfigError, match=rf"process {process.pid} on "):
            hold(tmp_path)
        process.kill()
    assert len(names(tmp_path)) == 3
    hold(tmp_path)
    assert names(tmp_path) == []


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    with replace_file(tmp_path / "a") as one, replace_folder(tmp_path / "b") as other:
        (tmp_path / ".c.x.tmp").write_text("half")
        (tmp_path / ".d.x.tmp").mkdir()
        remove_leftovers(tmp_path)
        assert names(tmp_path) == sorted([one.name, other.name])
    assert names(tmp_path) == ["a", "b"]


def test_what_belongs_to_others_stays(tmp_path: Path) -> None:
    """An output folder may be somebody's home."""
    for name in (".lock", ".editor.tmp", "table.csv.x.tmp"):
        (tmp_path / name).write_text("theirs")
    hold(tmp_path)
    assert names(tmp_path) == [".editor.tmp", ".lock", "table.csv.x.tmp"]
    assert (tmp_path / ".lock").read_text() == "theirs"
