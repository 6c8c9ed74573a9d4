"""Training of a branch on a store."""
