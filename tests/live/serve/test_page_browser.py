"""The live page in a real browser, with its fake camera and microphone."""

from __future__ import annotations

import re
import runpy
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
from quavf.live.serve.app import LiveApp
from quavf.live.serve.config import ServeConfig
from quavf.live.serve.pool import SESSIONS
from quavf.live.serve.processes import Loader
from tests.helpers.browser import CHROMIUM
from tests.helpers.browser_media import write_camera, write_microphone
from tests.helpers.data import REAL_TALK, ROOT
from tests.helpers.live_sessions import serving

FLAGS = [
    *runpy.run_path(str(ROOT / "scripts" / "readme_picture.py"))["FLAGS"],
    "--use-fake-device-for-media-stream",  # a clock on green, and a beep every second
    "--autoplay-policy=no-user-gesture-required",
]
TALKING = REAL_TALK / "vr2.mp4"


@contextmanager
def launched(playwright: Any, *flags: str) -> Iterator[Any]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    yield browser
    browser.close()


@contextmanager
def opened(browser: Any, port: int, part: str = "", **options: Any) -> Iterator[Any]:
    """A page of the server; in the end nothing may have been written to its console."""
    said: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 844}, **options})
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}/{part}")
    yield page
    context.close()
    # what the browser itself says when a server is not there cannot be helped
    assert [text for text in said if "ERR_CONNECTION_REFUSED" not in text] == []


def until(page: Any, condition: str, seconds: float = 30) -> None:
    """Wait for a JavaScript condition; playwright's own way is refused by the page's policy."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition}: {page.inner_text('main')}"
        page.wait_for_timeout(50)


def state(page: Any, name: str) -> None:
    until(page, f"document.body.dataset.state === '{name}'")


def start(page: Any) -> None:
    page.click("#start")
    state(page, "live")


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    with launched(playwright, "--use-fake-ui-for-media-stream") as browser:
        yield browser


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[int, LiveApp]]:
    with serving(ServeConfig(sessions=1)) as found:
        yield found


@pytest.mark.slow
def test_live(browser: Any, served: tuple[int, LiveApp]) -> None:
    """A beep counts as talking: the box, the list, the headline and the lane say so."""
    port, app = served
    with opened(browser, port) as page:
        assert page.inner_text("#cover-title") == "Start with your camera and microphone"
        assert app.pool.active == 0
        start(page)
        until(page, "document.querySelectorAll('.box').length === 1")
        until(page, "document.querySelector('.box span').textContent.includes('talking to you')")
        until(page, "Number(document.body.dataset.addressed) >= 2")
        until(page, "document.querySelector('.facts').textContent.includes('looked at')")
        assert page.locator("#people li").count() == 1
        assert page.locator(".lane canvas").count() == 1
        drawn = "document.querySelector('.lane canvas').toDataURL().length"
        assert page.evaluate(drawn) > 1000
        box, video = page.locator(".box").bounding_box(), page.locator("video").bounding_box()
        middle = box["x"] + box["width"] / 2 - video["x"]
        assert abs(middle - video["width"] / 2) < 3
        page.click("#mute")
        page.wait_for_timeout(1500)  # what was said before arrives
        heard = page.evaluate("document.body.dataset.addressed")
        page.wait_for_timeout(2500)
        assert page.evaluate("document.body.dataset.addressed") == heard
        assert page.inner_text("h1") == "Nobody is talking to you."
        page.click("#stop")
        state(page, "idle")
        assert page.evaluate("document.querySelector('video').srcObject") is None


@pytest.mark.slow
def test_full_then_free(browser: Any, served: tuple[int, LiveApp]) -> None:
    port, _ = served
    with opened(browser, port) as second:
        with opened(browser, port) as first:
            start(first)
            second.click("#start")
            state(second, "full")
            assert second.inner_text("#cover-title") == "The server is full"
        state(second, "live")


@pytest.mark.slow
def test_four_at_once_and_a_fifth(browser: Any) -> None:
    """None starves: all four are looked at, the slowest at least half as often as the quickest."""
    with serving(ServeConfig(sessions=4), delay_s=0.01) as (port, _), ExitStack() as stack:
        pages = [stack.enter_context(opened(browser, port)) for _ in range(4)]
        for page in pages:
            start(page)
        before = [count_looks(page) for page in pages]
        pages[0].wait_for_timeout(15_000)
        looks = [count_looks(page) - n for page, n in zip(pages, before, strict=True)]
        assert min(looks) >= max(looks) / 2 > 0, looks
        fifth = stack.enter_context(opened(browser, port))
        fifth.click("#start")
        state(fifth, "full")
        assert all(page.evaluate("document.body.dataset.state") == "live" for page in pages)


def count_looks(page: Any) -> int:
    """Pictures looked at, as the page says."""
    until(page, "document.querySelector('#facts').textContent.includes('looked at')")
    found = re.search(r"(\d+) looked at", page.inner_text("#facts"))
    assert found is not None
    return int(found[1])


@pytest.mark.slow
@pytest.mark.skipif(not TALKING.is_file(), reason=f"no clip of a talking face at {TALKING}")
def test_a_real_talking_face(playwright: Any, tmp_path: Path) -> None:
    """With the weights talk: it talks to the camera, and not when it cannot be heard."""
    camera = write_camera(TALKING, tmp_path / "camera.y4m")
    microphone = write_microphone(TALKING, tmp_path / "microphone.wav")
    flags = (
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        f"--use-file-for-fake-audio-capture={microphone}",
    )
    loader = Loader(SESSIONS, {"weights": "talk"})
    with (
        serving(ServeConfig(sessions=1), loader) as (port, _),
        launched(playwright, *flags) as browser,
        opened(browser, port) as page,
    ):
        start(page)
        addressed = "Number(document.body.dataset.addressed || 0)"
        for _ in range(60):
            page.wait_for_timeout(1000)
            if page.evaluate(addressed):
                break
        else:
            skip_if_slow(page)
        assert page.evaluate(addressed) >= 1
        until(page, "document.querySelector('h1').textContent === 'Person 1 is talking to you.'")
        page.click("#stop")
        page.click("#start")
        state(page, "live")
        page.click("#mute")
        page.wait_for_timeout(3000)  # what was said before is judged
        heard = page.evaluate(addressed)
        looks = count_looks(page)
        page.wait_for_timeout(10_000)
        assert count_looks(page) > looks
        assert page.evaluate(addressed) == heard


def skip_if_slow(page: Any) -> None:
    """Skip where too few pictures were looked at to judge anything."""
    sent, looked = re.findall(r"\d+", page.inner_text("#facts").split("Pictures")[1])[:2]
    if int(looked) < 0.6 * int(sent):
        pytest.skip(f"this machine looks at {looked} of {sent} pictures: too busy")


@pytest.mark.slow
def test_server_gone_and_back(browser: Any) -> None:
    with serving(ServeConfig(sessions=1)) as (port, _):
        pages = opened(browser, port)
        page = pages.__enter__()
        start(page)
    state(page, "gone")
    assert page.inner_text("#cover-title") == "The server cannot be reached"
    with serving(ServeConfig(sessions=1), port=port):
        state(page, "live")
        until(page, "document.querySelectorAll('.box').length === 1")
        pages.__exit__(None, None, None)


@pytest.mark.slow
def test_token(browser: Any) -> None:
    token = "a secret of some length"
    with serving(ServeConfig(token=token)) as (port, _):
        with opened(browser, port) as page:
            page.click("#start")
            state(page, "token")
            page.fill("#token", token)
            page.click("#token-form button")
            state(page, "live")
        with opened(browser, port, f"#token={token.replace(' ', '%20')}") as page:
            assert page.url.endswith("/")  # the token does not stay in sight
            start(page)


@pytest.mark.slow
def test_camera_refused(playwright: Any, served: tuple[int, LiveApp]) -> None:
    port, app = served
    flag = "--deny-permission-prompts"
    with launched(playwright, flag) as browser, opened(browser, port) as page:
        page.click("#start")
        state(page, "refused")
        assert page.inner_text("#cover-title") == "Camera or microphone refused"
        assert page.inner_text("#start") == "Try again"
        assert app.pool.active == 0


@pytest.mark.slow
def test_phone(browser: Any, served: tuple[int, LiveApp]) -> None:
    port, _ = served
    phone = {"width": 390, "height": 844}
    with opened(browser, port, viewport=phone, has_touch=True, is_mobile=True) as page:
        assert page.locator("#start").is_visible()
        start(page)
        until(page, "document.querySelectorAll('.lane').length === 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
