"""Tables that belong to one version of a clip, such as qualities and cues.

Each keeps in its metadata the fingerprint of the clip it was made from. When the clip is prepared
again with other content, the fingerprint differs, and the table counts as absent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quavf.utils.files import config_hash, explain_os_errors, replace_file


@dataclass(frozen=True)
class TableOrigin:
    """Origin of a clip's table, as its metadata tell it."""

    n_rows: int
    settings: str  # hash of what produced it
    fingerprint: str  # of the clip it was made from; empty in tables of earlier versions


def with_origin(table: pa.Table, settings: dict[str, Any], fingerprint: str) -> pa.Table:
    """The table, with its settings and its clip's fingerprint in the metadata."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return table.replace_schema_metadata(
        {
            "settings": config_hash(settings),
            "settings_json": text,
            "clip_fingerprint": fingerprint,
        }
    )


def write_clip_table(
    path: Path, table: pa.Table, settings: dict[str, Any], fingerprint: str
) -> None:
    """Write a table of a clip whose folder exists; a folder that is gone is not created."""
    with explain_os_errors(path):
        path.parent.mkdir(exist_ok=True)
    with replace_file(path) as temporary:
        pq.write_table(
            with_origin(table, settings, fingerprint), temporary, write_page_checksum=True
        )


def read_origin(path: Path) -> TableOrigin | None:
    """The origin of a table; None if there is no table, or if it is damaged."""
    try:
        content = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return None
    metadata = content.metadata or {}

    def text(key: bytes) -> str:
        return str(metadata.get(key, b"").decode(errors="replace"))

    return TableOrigin(content.num_rows, text(b"settings"), text(b"clip_fingerprint"))


def describe_damage(path: Path) -> str:
    """Read a whole table; its fault with a remedy, or an empty text."""
    try:
        pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        return f"{path}: cannot be read ({error}); delete it and make it again"
    return ""
