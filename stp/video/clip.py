"""A clip of grey frames, as flow needs it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GreyClip:
    """A clip that is read when its turn comes: `read()` gives its frames, uint8 (height, width) each, in order."""

    name: str
    frames: int
    height: int
    width: int
    read: Callable[[], Iterator[np.ndarray]]
    boxes: Sequence[np.ndarray] | None = None  # of people, per frame (n, 4): x0, y0, x1, y1 in pixels
    rate: float = 25.0  # frames per second, of videos made of its flow

    def pairs(self, step: int) -> int:
        """Pairs of frames t and t + `step`."""
        return max(self.frames - step, 0)
