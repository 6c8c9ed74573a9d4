"""Read a clip's sound from its WAV file."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from quavf.core.errors import StoreError
from quavf.core.records import Floats
from quavf.store.integrity import REMEDY, check_sound, check_sum
from quavf.store.manifest import Manifest


class SoundReader:
    """Reads samples of WAV files; compares each file with its manifest before its first use."""

    def __init__(self) -> None:
        self._verified: dict[Path, tuple[int, int, int]] = {}  # state of files that were compared

    def read(self, path: Path, find: Callable[[], Manifest], start: int, end: int) -> Floats:
        """(end - start,) float32 samples in [-1, 1]; fewer where the sound ends before.

        `find` returns the manifest of the clip. Raises StoreError if the sound is not as written.
        """
        try:
            self._verify(path, find)
            with wave.open(str(path), "rb") as file:
                file.setpos(min(max(start, 0), file.getnframes()))
                n_samples = max(min(end, file.getnframes()) - max(start, 0), 0)
                data = file.readframes(n_samples)
        except (OSError, EOFError, wave.Error) as error:
            raise StoreError(f"{path}: cannot be read ({error}); {REMEDY}") from None
        if len(data) != 2 * n_samples:
            raise StoreError(f"{path}: cut short; {REMEDY}")
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768

    def _verify(self, path: Path, find: Callable[[], Manifest]) -> None:
        """Compare the whole sound with its manifest, unless this state of the file was compared."""
        status = path.stat()
        state = status.st_ino, status.st_mtime_ns, status.st_size
        if self._verified.get(path) == state:
            return
        manifest = find()
        with wave.open(str(path), "rb") as file:
            check_sound(path, file, manifest.n_samples)
        check_sum(path, manifest.files.get(path.name))
        self._verified[path] = state
