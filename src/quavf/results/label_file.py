"""The label file of a video's folder: saved in place, with earlier versions beside it."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

from quavf.core.errors import AnnotationError
from quavf.results.labels import LABELS_FILE, VideoLabels
from quavf.utils.files import explain_os_errors, write_text

VERSIONS = "labels.versions"  # folder of earlier versions, 0001.json and so on
VERSION_S = 60.0  # a change replaces the file; at least so often the one before is kept, too


class ConflictError(AnnotationError):
    """Raised if the file is not the one that a change was based on."""


@dataclass(frozen=True)
class LabelFile:
    """`labels.json` in the folder of a video's result. A revision names one state of it."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / LABELS_FILE

    def read(self) -> VideoLabels | None:
        """The labels, None if there are none yet. Raises AnnotationError if they are damaged."""
        return VideoLabels.read(self.path) if self.path.is_file() else None

    def revision(self) -> str:
        """The revision of the file as it is; empty if there is none."""
        if not self.path.is_file():
            return ""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    def write(self, labels: VideoLabels, based_on: str | None = None) -> str:
        """Replace the file and return its revision; nothing changes where nothing is new.

        Raises ConflictError if it is no longer in the revision `based_on`; None: whatever it is.
        """
        found = self.revision()
        if based_on is not None and found != based_on:
            raise ConflictError(f"{self.path}: was changed by somebody else")
        if found and self._is_version_due():
            self._keep_version()
        labels.write(self.path)
        return self.revision()

    def versions(self) -> list[Path]:
        """The earlier versions, oldest first."""
        files = (self.folder / VERSIONS).glob("*.json")
        return sorted(path for path in files if re.fullmatch(r"\d{4,}", path.stem))

    def _is_version_due(self) -> bool:
        kept = self.versions()
        return not kept or time.time() - kept[-1].stat().st_mtime >= VERSION_S

    def _keep_version(self) -> None:
        kept = self.versions()
        number = int(kept[-1].stem) + 1 if kept else 1
        with explain_os_errors(self.path):
            write_text(self.folder / VERSIONS / f"{number:04d}.json", self.path.read_text())
