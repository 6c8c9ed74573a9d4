"""A browser for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.browser import CHROMIUM, flags


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    """Headless Chromium; without it, or without playwright, the test is skipped."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags())
    yield browser
    browser.close()
