"""Measure a live server with several browsers at once: looks a second of each, and memory.

    python benchmarks/live_browsers.py --clips A.mp4 B.mp4 [--browsers 4] [--seconds 30]

Starts `quavf serve`, and one headless Chromium for each session, whose fake camera and microphone
play the clips in turn. In the end one more browser asks for a session. Prints, for each, the
pictures sent, looked at and left out a second, and the `addressed` events; and the memory of each
process of the server: its own (private) and its share (PSS).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.helpers.browser import CHROMIUM, flags
from tests.helpers.browser_media import write_camera, write_microphone

FAKES = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PATIENCE_S = 90.0
COUNT = r"(\d[\d,]*) (sent|looked at|left out)"


@dataclass(frozen=True)
class Client:
    """A page with its counts when the measurement began."""

    page: Any
    clip: Path

    def counts(self) -> dict[str, int]:
        """Pictures sent, looked at and left out, and `addressed` events, so far."""
        text = self.page.inner_text("#facts")
        found = {name: int(n.replace(",", "")) for n, name in re.findall(COUNT, text)}
        addressed = self.page.evaluate("Number(document.body.dataset.addressed || 0)")
        return {"sent": 0, "looked at": 0, "left out": 0} | found | {"addressed": addressed}


@contextmanager
def serve(sessions: int) -> Iterator[tuple[str, int]]:
    """Run `quavf serve`; the page's address, and the number of its process."""
    command = [sys.executable, "-m", "quavf", "serve", "--port", "0", "--sessions", str(sessions)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://[\w.:]+/", line):
                yield found[0], process.pid
                break
        else:
            raise SystemExit("quavf serve did not start")
    finally:
        process.terminate()
        process.wait(30)


def open_client(playwright: Any, url: str, clip: Path, folder: Path, stack: ExitStack) -> Client:
    """A browser whose fake camera plays a clip, with the server's page."""
    camera, microphone = folder / f"{clip.stem}.y4m", folder / f"{clip.stem}.wav"
    if not camera.exists():
        write_camera(clip, camera)
        write_microphone(clip, microphone)
    files = (
        f"--use-file-for-fake-video-capture={camera}",
        f"--use-file-for-fake-audio-capture={microphone}",
    )
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*flags(), *FAKES, *files])
    stack.callback(browser.close)
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto(url)
    page.click("#start")
    return Client(page, clip)


def wait_for(page: Any, state: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while page.evaluate("document.body.dataset.state") != state:
        if time.monotonic() > end:
            raise SystemExit(f"no {state}: {page.inner_text('main')}")
        page.wait_for_timeout(100)


def list_processes(parent: int) -> list[int]:
    """A process and all that descend from it."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()[1:]]
    found = [parent]
    for pid in found:
        found += [child for child, of in pairs if of == pid]
    return found


def read_memory(pid: int) -> tuple[float, float, float]:
    """Resident, proportional and private memory, MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    values = {name: int(kb) / 1024 for name, kb in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    return values["Rss"], values["Pss"], values["Private_Clean"] + values["Private_Dirty"]


def print_memory(server: int, when: str) -> None:
    rows = [(pid, *read_memory(pid)) for pid in list_processes(server)]
    print(f"{when}: {len(rows)} processes, {sum(row[2] for row in rows):.0f} MB in all (PSS)")
    for pid, rss, pss, private in rows:
        print(f"  {pid}: RSS {rss:.0f}, PSS {pss:.0f}, private {private:.0f} MB")


def measure(clips: list[Path], browsers: int, seconds: float) -> None:
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as name,
        serve(browsers) as (url, server),
        ExitStack() as stack,
    ):
        playwright = stack.enter_context(sync_playwright())
        print_memory(server, "started")
        chosen = [clips[k % len(clips)] for k in range(browsers + 1)]
        clients = []
        for clip in chosen[:-1]:
            began = time.monotonic()
            clients.append(open_client(playwright, url, clip, Path(name), stack))
            wait_for(clients[-1].page, "live")
            print(f"{clip.name}: live after {time.monotonic() - began:.1f} s")
        before, began = [c.counts() for c in clients], time.monotonic()
        clients[0].page.wait_for_timeout(seconds * 1000)
        after, took_s = [c.counts() for c in clients], time.monotonic() - began
        print_memory(server, f"{browsers} sessions")
        print("load", os.getloadavg(), "cores", os.cpu_count())
        for client, a, b in zip(clients, before, after, strict=True):
            rates = [f"{(b[k] - a[k]) / took_s:.1f} {k}" for k in ("sent", "looked at", "left out")]
            print(f"{client.clip.name}: a second {', '.join(rates)}; {b['addressed']} addressed")
        last = open_client(playwright, url, chosen[-1], Path(name), stack)
        wait_for(last.page, "full")
        states = [c.page.evaluate("document.body.dataset.state") for c in clients]
        print(f"one more: {last.page.inner_text('#cover-title')!r}; the others: {states}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--clips", nargs="+", type=Path, required=True)
    parser.add_argument("--browsers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    measure(options.clips, options.browsers, options.seconds)


if __name__ == "__main__":
    main()
