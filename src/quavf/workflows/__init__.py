"""One module for each command: stages put together."""
