"""What can go wrong through no fault of ours. The CLI prints these as one line, exit code 2."""


class QuavfError(Exception):
    """A user's mistake or bad input: says which file and field, and what to do."""


class AnnotationError(QuavfError):
    """An annotation, split or submission file cannot be read as what it should be."""


class MediaError(QuavfError):
    """A video or sound file cannot be opened or holds nothing usable."""


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
