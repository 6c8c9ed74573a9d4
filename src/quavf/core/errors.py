"""Errors of the user or the data. The CLI prints them as one line, with exit code 2."""


class QuavfError(Exception):
    """Base of all errors: the message says which file and field, and what to do, in one line."""

    def __str__(self) -> str:
        """The message; the lines of a library's own message are joined."""
        return " ".join(filter(None, map(str.strip, super().__str__().splitlines())))


class AnnotationError(QuavfError):
    """An annotation, split or submission file cannot be read."""


class MediaError(QuavfError):
    """A video or sound file cannot be opened or has no usable content."""


class StoreError(QuavfError):
    """A clip store is missing, incomplete, or made with other settings."""


class CheckpointError(QuavfError):
    """A checkpoint is unreadable, unsafe, or does not fit the model."""


class ConfigError(QuavfError):
    """An option has a value that cannot be used."""


class ScoresError(QuavfError):
    """A scores folder is missing, malformed, or holds values out of range."""


class EngineError(QuavfError):
    """Workers died or cannot be reached."""
