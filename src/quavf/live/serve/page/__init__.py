"""The page for browsers: one self-contained HTML file, with its security headers."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

PARTS = {"css": "live.css", "js": "live.js", "microphone": "microphone.js"}


@cache
def render_page() -> tuple[str, dict[str, str]]:
    """The page and its headers: no other script, style or server, no frame around it."""
    folder = files("quavf.live.serve.page")
    parts = {key: (folder / name).read_text(encoding="utf-8") for key, name in PARTS.items()}
    page = (folder / "live.html").read_text(encoding="utf-8")
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)
    # blob: is the microphone's worklet, which cannot be part of a page; ws: for older Safari
    policy = (
        f"default-src 'none'; script-src {_hash(parts['js'])} blob:; "
        f"style-src {_hash(parts['css'])}; img-src data:; media-src 'self' blob: mediastream:; "
        "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    return text, headers


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
