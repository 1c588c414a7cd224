"""A clip of grey frames, as motion is computed from them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stp.data.shards import StoredFields


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


def grey(frames: StoredFields | np.ndarray) -> Iterator[np.ndarray]:
    """The luma of RGB frames (T, 3, H, W) uint8, one by one: uint8 (H, W)."""
    for frame in frames:
        yield cv2.cvtColor(np.ascontiguousarray(frame.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)
