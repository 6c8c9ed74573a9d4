"""Files of named arrays: the intermediate results of long commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quavf.utils.files import replace_file


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays as one compressed file, atomically."""
    with replace_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of a file. Raises ValueError, whatever is wrong with it."""
    try:
        with Path(path).open("rb") as file, np.load(file) as content:
            return {name: content[name] for name in content.files}
    except Exception as error:  # damage makes numpy, zipfile and tokenize fail in any way there is
        raise ValueError(str(error) or type(error).__name__) from None
