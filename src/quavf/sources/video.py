"""The reader of raw videos; see `quavf.sources.media`."""

from quavf.sources.media.file import VideoFile, open_video_file
from quavf.sources.media.pictures import Frame, stored_region
from quavf.sources.media.sound import is_silent

__all__ = ["Frame", "VideoFile", "is_silent", "open_video_file", "stored_region"]
