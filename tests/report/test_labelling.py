"""The server in whose pages people label, over HTTP and in a browser."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from quavf.core.errors import ConfigError, ScoresError
from quavf.results.label_file import VERSIONS, ConflictError, LabelFile
from quavf.results.labels import LabelledPerson, Stretch, VideoLabels
from quavf.results.video import VideoResult
from quavf.workflows.label import find_results, serve_labels
from tests.helpers.browser import until
from tests.helpers.data import ROOT
from tests.helpers.made_up_results import made_up, write_video

LENGTH_S = 3.0
PERSON = LabelledPerson(1, (Stretch(0.5, 1.5, "to_me"),))
LABELS = VideoLabels("in.mp4", (PERSON,), LENGTH_S)
COMMAND = "import sys; from quavf.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("served")
    video = write_video(out / "in.mp4", seconds=LENGTH_S)
    made_up(video, duration_s=LENGTH_S).write(out / "runs" / "in")
    made_up(video, duration_s=LENGTH_S, n_persons=1).write(out / "runs" / "other")
    return out / "runs"


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


@pytest.fixture
def address(runs: Path) -> Iterator[str]:
    """Of `quavf label` in a process of its own, on a free port."""
    pytest.importorskip("uvicorn", reason="quavf[live] is not installed")
    pytest.importorskip("starlette", reason="quavf[live] is not installed")
    words = [sys.executable, "-c", COMMAND, "label", str(runs), "--port", "0"]
    path = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=path) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.removeprefix("Open ").strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


class Client:
    """Requests to a server, as somebody may send them."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.host, self.path = parts.netloc, parts.path
        self.origin = f"http://{self.host}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        sent = None if body is None else json.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, sent, names)
        answer = connection.getresponse()
        found = answer.status, answer.read(), answer.headers
        connection.close()
        return found

    def save(self, labels: VideoLabels, **headers: str) -> tuple[int, Any]:
        known = {"Origin": self.origin, "X_Quavf": "label", **headers}
        status, body, _ = self.ask("PUT", f"{self.path}in/labels", labels.to_json(), **known)
        return status, json.loads(body) if body.startswith(b"{") else body


def test_who_may_ask_for_what(address: str, runs: Path) -> None:
    client = Client(address)
    path = client.path
    assert client.ask("GET", path)[0] == 200
    status, page, headers = client.ask("GET", f"{path}in/")
    assert status == 200
    assert b"connect-src 'self'" in page
    assert headers["Cache-Control"] == "no-store"
    status, part, _ = client.ask("GET", f"{path}in/video.mp4", Range="bytes=0-99")
    assert (status, len(part)) == (206, 100)
    for wrong in ("/", "/guess/", "/guess/in/", f"{path}nobody/", f"{path}in/result.json"):
        assert client.ask("GET", wrong)[0] in (404, 405), wrong
    assert client.ask("GET", f"{path}in/..%2Fin%2Fresult.json")[0] == 404
    assert client.ask("GET", path, Host="evil.example")[0] == 400
    for wrong_headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert client.save(LABELS, **wrong_headers)[0] == 403
    body = LABELS.to_json()
    assert client.ask("PUT", f"{path}in/labels", body, Origin=client.origin)[0] == 403
    assert client.ask("PUT", f"{path}in/labels", body, X_Quavf="label")[0] == 403
    assert not (runs / "in" / "labels.json").exists()


def test_saving(address: str, runs: Path) -> None:
    client = Client(address)
    file = LabelFile(runs / "in")
    status, said = client.save(LABELS, If_Match="")
    assert (status, said["file"]) == (200, "labels.json")
    assert file.read() == LABELS
    empty = replace(LABELS, people=())
    status, other = client.save(empty, If_Match="an old one")
    assert (status, other["revision"], other["labels"]) == (409, said["revision"], LABELS.to_json())
    assert client.save(empty, If_Match=said["revision"])[0] == 200
    assert file.read() == empty
    assert [VideoLabels.read(path) for path in file.versions()] == [LABELS]
    refused = client.ask(
        "PUT", f"{client.path}in/labels", {"format": 1}, Origin=client.origin, X_Quavf="label"
    )
    assert refused[0] == 400
    assert "no file of labels" in json.loads(refused[1])["error"]
    assert b"nothing labelled" in client.ask("GET", client.path)[1]


def test_a_browser_saves_and_finds_it_again(browser: Any, address: str, runs: Path) -> None:
    context, said = browser.new_context(viewport={"width": 1280, "height": 900}), []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.get_by_role("link", name="in", exact=True).click()
    until(page, "document.querySelectorAll('.label-lane').length > 0")
    until(page, "document.querySelector('video').readyState >= 2")
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    until(page, "document.querySelector('.status').textContent === 'Saved in labels.json'")
    labels = LabelFile(runs / "in").read()
    assert labels is not None
    assert labels.people[0].stretches == (Stretch(0.0, 1.0, "to_me"),)
    other = context.new_page()  # a second tab changes the file
    other.goto(page.url)
    until(other, "document.querySelectorAll('.block').length === 1")
    other.keyboard.press("End")
    other.keyboard.press("3")
    other.keyboard.press("ArrowLeft")
    other.keyboard.press("3")
    until(other, "document.querySelector('.status').textContent === 'Saved in labels.json'")
    page.keyboard.press("2")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    until(page, "document.querySelector('.notice').textContent.includes('changed elsewhere')")
    page.get_by_role("button", name="Keep these").click()
    until(page, "document.querySelector('.status').textContent === 'Saved in labels.json'")
    labels = LabelFile(runs / "in").read()
    assert labels is not None
    assert [s.label for s in labels.people[0].stretches] == ["to_me", "to_others"]
    context.close()
    assert [line for line in said if "409" not in line] == []


def test_versions_are_kept_now_and_then(tmp_path: Path) -> None:
    file = LabelFile(tmp_path)
    for second in range(3):
        file.write(replace(LABELS, duration_s=10.0 + second))
    (first,) = file.versions()
    assert VideoLabels.read(first).duration_s == 10.0
    long_ago = time.time() - 100
    os.utime(first, (long_ago, long_ago))
    file.write(replace(LABELS, duration_s=13.0))
    assert [path.name for path in file.versions()] == ["0001.json", "0002.json"]
    assert VideoLabels.read(tmp_path / VERSIONS / "0002.json").duration_s == 12.0
    with pytest.raises(ConflictError, match="changed by somebody else"):
        file.write(LABELS, based_on="")


def test_results_are_found(runs: Path, tmp_path: Path) -> None:
    assert list(find_results(runs)) == ["in", "other"]
    assert find_results(runs / "in") == {"in": (runs / "in").resolve()}
    assert VideoResult.read(find_results(runs)["in"]).duration_s == LENGTH_S
    with pytest.raises(ScoresError, match="no result of `quavf run`"):
        find_results(tmp_path / "nothing")


def test_a_port_that_cannot_be_used_is_named(runs: Path) -> None:
    pytest.importorskip("uvicorn", reason="quavf[live] is not installed")
    pytest.importorskip("starlette", reason="quavf[live] is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 70_000):
            with pytest.raises(ConfigError, match=f"--port: {port} cannot be used"):
                serve_labels(runs, lambda address: pytest.fail(address), port)
