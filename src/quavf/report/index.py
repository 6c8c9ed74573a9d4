"""A page that lists the reports of several clips."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from quavf.report.video import clean_text, fill_template, render_head
from quavf.report.words import Summary
from quavf.utils.files import write_text


@dataclass(frozen=True)
class IndexEntry:
    """One report page: its name, its path below the index, and what it says."""

    name: str
    path: str
    summary: Summary


def write_index(path: Path, title: str, lede: str, entries: Sequence[IndexEntry]) -> Path:
    """Write the page that lists these reports, in this order; return its path."""
    shown = html.escape(clean_text(title))
    values = {
        "head": render_head(shown),
        "title": shown,
        "lede": html.escape(clean_text(lede)),
        "pages": "".join(_item(entry) for entry in entries),
    }
    write_text(Path(path), fill_template("index.html", values))
    return Path(path)


def _item(entry: IndexEntry) -> str:
    summary = entry.summary
    return (
        f'<li><a href="{html.escape(quote(entry.path))}">{html.escape(clean_text(entry.name))}</a>'
        f"<div>{html.escape(summary.headline)}"
        f"<p>{html.escape(' '.join(summary.details))}</p></div></li>"
    )
