"""Networks, their configuration and their checkpoints."""
