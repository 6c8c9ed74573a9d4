"""Worlds that the project makes itself."""
