"""Score the faces of a store with a quality scorer of your own.

    python examples/custom_scorer.py STORE

The scorer here calls a face good if it is large and its brightness varies. A scorer of an installed
package also works on the command line; see docs/extend.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import quavf


class SizeAndContrast:
    """Product of two terms in [0, 1]: the width of the face, and the contrast of its grey."""

    name = "size-contrast"

    def __init__(self, options: quavf.ScorerOptions) -> None:
        self.settings = {"full_px": 100, "full_contrast": 60}

    def score(
        self,
        regions: Sequence[npt.NDArray[np.uint8]],
        confidences: npt.NDArray[np.float64] | None = None,
    ) -> npt.NDArray[np.float64]:
        """One score in [0, 1] for each RGB region (h, w, 3)."""
        widths = np.array([region.shape[1] for region in regions])
        contrasts = np.array([region.mean(axis=2).std() for region in regions])
        size = np.minimum(widths / self.settings["full_px"], 1)
        contrast = np.minimum(contrasts / self.settings["full_contrast"], 1)
        return size * contrast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    options = parser.parse_args()

    quavf.register_scorer(SizeAndContrast.name, SizeAndContrast)
    summary = quavf.score_quality(options.store, SizeAndContrast.name)
    print(f"{summary.crops} faces of {summary.clips} clips scored; quantiles: {summary.quantiles}")


if __name__ == "__main__":
    main()
