"""The live page in a real browser, with its fake camera and microphone."""

from __future__ import annotations

import os
import runpy
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
from quavf.live.serve.app import LiveApp
from quavf.live.serve.config import ServeConfig
from tests.helpers.data import ROOT
from tests.helpers.live_sessions import serving

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("QUAVF_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
FLAGS = [
    *runpy.run_path(str(ROOT / "scripts" / "readme_picture.py"))["FLAGS"],
    "--use-fake-device-for-media-stream",  # a clock on green, and a beep every second
    "--autoplay-policy=no-user-gesture-required",
]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        yield playwright


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
