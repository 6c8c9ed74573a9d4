"""The clip store: what every source writes and every model reads.

    STORE/store.json                     kind, semantics, format version
    STORE/summary.json                   counts of what `prepare` kept, dropped and corrected
    STORE/clips/<clip>/clip.json         manifest: split, labels, clock, fingerprints, notes
                       faces.parquet     one row a crop, sorted by person and frame
                       crops.tar         the crops, uncompressed tar of JPEG files
                       sound.wav         16-bit mono 16 kHz; absent when the clip has no sound
                       confidence.parquet   the face detector's; absent where faces were annotated
                       quality/<scorer>.parquet   one score a row of faces.parquet
                       cues.parquet      cues of faces, one row a person and frame
                       cues_sound.parquet   cues of the sound, one row per 32 ms

A clip's folder appears complete or not at all.
"""

from quavf.store.clips import ClipStore
from quavf.store.config import FORMAT, StoreConfig
from quavf.store.crops import CropReader
from quavf.store.manifest import Manifest
from quavf.store.tables import Faces
from quavf.store.writer import ClipWriter

__all__ = ["FORMAT", "ClipStore", "ClipWriter", "CropReader", "Faces", "Manifest", "StoreConfig"]
