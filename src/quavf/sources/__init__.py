"""Where clips come from: each source turns a layout on disk into records, media into arrays."""
