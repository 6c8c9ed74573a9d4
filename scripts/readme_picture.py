"""Take the picture at the top of the README: a report page in a headless Chromium.

    python scripts/readme_picture.py OUT/report.html docs/report.png --at 5 --hover 0.62

`OUT` is what `quavf run` made. Needs `pip install playwright` and a Chromium; its path is taken
from `--chromium`. Fonts are the system's: install Inter and Charis SIL (or Charter) for the look
that the style sheet was drawn with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> None:
    arguments = _arguments()
    width, height = (int(v) for v in arguments.size.split("x"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
        page = browser.new_page(
            viewport={"width": width, "height": height},
            device_scale_factor=arguments.scale,
            color_scheme="dark" if arguments.dark else "light",
        )
        page.goto(arguments.report.resolve().as_uri())
        _show(page, arguments.at, arguments.hover)
        bottom = page.locator(".timeline").bounding_box()
        tall = height if bottom is None else min(height, bottom["y"] + bottom["height"] + 24)
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(
            path=arguments.picture, clip={"x": 0, "y": 0, "width": width, "height": tall}
        )
        browser.close()


def _show(page: Page, at_s: float, hover: float | None) -> None:
    """Seek to a time, wait until its picture is there, and point at a share of the first lane."""
    video = page.locator("video")
    if video.is_visible():
        video.evaluate("(v, t) => { v.currentTime = t; }", at_s)
        while video.evaluate("v => v.seeking || v.readyState < 2"):
            page.wait_for_timeout(100)
    plot = page.locator(".plot").first
    box = plot.bounding_box() if plot.count() else None
    if hover is not None and box is not None:
        page.mouse.move(box["x"] + box["width"] * hover, box["y"] + box["height"] / 2)
    page.wait_for_timeout(400)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="report.html of a run")
    parser.add_argument("picture", type=Path, help="PNG to write")
    parser.add_argument("--at", type=float, default=3.0, help="time of the playhead, seconds")
    parser.add_argument("--hover", type=float, help="point at this share of the first lane, 0 to 1")
    parser.add_argument("--size", default="1280x1400", help="window; cut below the lanes")
    parser.add_argument("--scale", type=float, default=2.0, help="pixels per CSS pixel")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    return parser.parse_args()


if __name__ == "__main__":
    main()
