"""The meshes and textures of one simulated person."""

from __future__ import annotations

import numpy as np

from quavf.core.records import Floats
from quavf.simulate.appearance import Appearance, paint_skin
from quavf.simulate.head import build_hand, build_head, build_torso


class PersonModel:
    """Meshes, skin texture and colours of a person, constant throughout a clip."""

    def __init__(self, appearance: Appearance, drop: float) -> None:
        self.appearance = appearance
        self.head = build_head(appearance)
        self.small = build_head(appearance, rows=36, columns=32)  # for distant faces
        self.torso = build_torso(appearance, drop)
        self.hand = build_hand()
        self.skin = paint_skin(appearance)
        light_hair = float(np.mean(appearance.hair)) > 0.12
        self.palette = np.array(
            [
                np.array(appearance.skin) * 0.92,
                appearance.hair,
                (0.012, 0.012, 0.014),
                appearance.cloth,
                appearance.cloth2,
                appearance.iris,
                appearance.lip,
                (appearance.stripe_m, appearance.lips, 0.5 if light_hair else 0.9),
            ],
            dtype=np.float32,
        )
        self.face = self.head.vertices[self.head.face > 0]
        self.face_jaw = self.head.jaw[self.head.face > 0]

    def place_hand(self, offset: tuple[float, float, float], phase: float) -> Floats:
        """Vertices of a hand that rises to the face and sinks again as `phase` goes from 0 to 1."""
        up = np.clip(4 * min(phase, 1 - phase), 0, 1)
        place = np.array([offset[0], offset[1] + 0.3 * (1 - up), -self.appearance.depth - 0.045])
        tilt = 0.35 * offset[2]
        turn = np.array(
            [[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1.0]]
        )
        return np.asarray(self.hand.vertices @ turn.T + place)
