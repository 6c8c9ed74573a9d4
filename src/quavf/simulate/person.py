"""Everything about a simulated person that stays the same through a clip."""

from __future__ import annotations

import numpy as np

from quavf.core.records import Floats
from quavf.simulate.appearance import Look, paint_skin
from quavf.simulate.head import build_hand, build_head, build_torso


class Person:
    """What of a person stays the same through a clip."""

    def __init__(self, look: Look, drop: float) -> None:
        self.look = look
        self.head = build_head(look)
        self.small = build_head(look, rows=36, columns=32)  # for distant faces
        self.torso = build_torso(look, drop)
        self.hand = build_hand()
        self.skin = paint_skin(look)
        light_hair = float(np.mean(look.hair)) > 0.12
        self.palette = np.array(
            [
                np.array(look.skin) * 0.92,
                look.hair,
                (0.012, 0.012, 0.014),
                look.cloth,
                look.cloth2,
                look.iris,
                look.lip,
                (look.stripe_m, look.lips, 0.5 if light_hair else 0.9),
            ],
            dtype=np.float32,
        )
        self.face = self.head.vertices[self.head.face > 0]
        self.face_jaw = self.head.jaw[self.head.face > 0]

    def hand_at(self, offset: tuple[float, float, float], phase: float) -> Floats:
        """Vertices of a hand that rises to the face and sinks again."""
        up = np.clip(4 * min(phase, 1 - phase), 0, 1)
        place = np.array([offset[0], offset[1] + 0.3 * (1 - up), -self.look.depth - 0.045])
        tilt = 0.35 * offset[2]
        turn = np.array(
            [[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1.0]]
        )
        return np.asarray(self.hand.vertices @ turn.T + place)
