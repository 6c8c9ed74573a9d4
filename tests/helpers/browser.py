"""Pages in headless Chromium."""

from __future__ import annotations

import os
import runpy
import shutil
from typing import Any

from tests.helpers.data import ROOT

CHROMIUM = os.environ.get("QUAVF_CHROMIUM") or shutil.which("chromium")
TIME = "document.querySelector('video').currentTime"


def flags() -> list[str]:
    """Chromium's options: those of the README's picture, and playing without a click."""
    script = runpy.run_path(str(ROOT / "scripts" / "readme_picture.py"))
    return [*script["FLAGS"], "--autoplay-policy=no-user-gesture-required"]


def until(page: Any, condition: str) -> None:
    """Wait for a JavaScript condition; playwright's own way is refused by the page's policy."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def box_of(locator: Any) -> dict[str, float]:
    """Where an element is in the window, scrolled to where a pointer can reach it."""
    locator.scroll_into_view_if_needed()
    return dict(locator.bounding_box())


def settled(page: Any, time_s: float) -> None:
    """Wait until the video shows a time."""
    until(page, f"Math.abs({TIME} - {time_s}) < 0.06 && !document.querySelector('video').seeking")
