"""Files, parallel work, threads, progress and memory."""
