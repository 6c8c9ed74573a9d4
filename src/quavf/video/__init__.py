"""Raw videos: find, track, crop and score the faces."""
