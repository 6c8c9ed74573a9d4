"""Workers end with their command, whatever ends it, and clean up if they can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.data import ROOT

PATIENCE_S = 20.0  # of a busy machine
SCRIPT = (
    "import sys\n"
    "from pathlib import Path\n"
    "from quavf import cli\n"
    "from quavf.cli.command import Command\n"
    "from quavf.utils.parallel import EngineConfig, run_each\n"
    "from tests.helpers.parallel_work import HalfWriting\n"
    "def run(args, console):\n"
    "    list(run_each(HalfWriting(Path(args.out)), range(4), EngineConfig(workers=2)))\n"
    "def add(parser):\n"
    "    parser.add_argument('out')\n"
    "if __name__ == '__main__':\n"
    "    cli.list_commands = lambda: {'work': Command('', '', add, run)}\n"
    "    sys.exit(cli.main(['work', sys.argv[1]]))\n"
)


def wait_until(condition: object, what: str) -> None:
    assert callable(condition)
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextmanager
def working(out: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A command whose two workers are in the middle of writing a file each."""
    script = out.parent / "script.py"
    script.write_text(SCRIPT)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(script), str(out)]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            wait_until(lambda: len(list(out.glob("pid-*"))) == 2, "no workers")
            yield process, [int(path.name.split("-")[1]) for path in out.glob("pid-*")]
        finally:
            process.kill()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_of_a_killed_command(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with working(out) as (process, workers):
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(is_running, workers)), "workers survive their command")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    """One line, exit code 130, no workers, nothing half-written."""
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as in a background job of a shell")
    out = tmp_path / "out"
    out.mkdir()
    with working(out) as (process, workers):
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130, said
        assert said.strip() == "quavf: interrupted; repeat the command to resume"
        wait_until(lambda: not any(map(is_running, workers)), "workers survive their command")
    assert [p.name for p in out.iterdir() if not p.name.startswith("pid-")] == []
