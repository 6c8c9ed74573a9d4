"""Is this person talking to me? Talking-to-me detection in egocentric video.

Each command of `quavf` calls one function of this package. The public names are in `__init__.pyi`;
each is imported when it is first used, so that `import quavf` is cheap.
"""

import warnings
from typing import Any

import lazy_loader

from quavf.core.version import __version__ as __version__

_load, _list_names, __all__ = lazy_loader.attach_stub(__name__, __file__)

_RENAMED = {  # former names, which work for one more version
    "Runner": "Pipeline",
    "VideoRun": "VideoAnalysis",
}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(f"quavf.{name} is now quavf.{new}", DeprecationWarning, stacklevel=2)
        return _load(new)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        from quavf.utils.extras import explain_missing

        raise explain_missing(error, f"quavf.{name}") or error from None


def __dir__() -> list[str]:
    return [*_list_names(), "__version__"]
