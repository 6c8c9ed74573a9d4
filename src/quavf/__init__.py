"""Is this person talking to me? Talking-to-me detection in egocentric video."""

__version__ = "0.1.0"
