"""A toy egocentric dataset with cartoon faces: quick to make, for the demo and the tests."""

from quavf.simulate.drawn.dataset import draw_dataset
from quavf.simulate.drawn.scene import DrawnConfig

__all__ = ["DrawnConfig", "draw_dataset"]
