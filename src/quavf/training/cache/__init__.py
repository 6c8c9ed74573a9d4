"""Features of frozen networks, kept on disk."""
