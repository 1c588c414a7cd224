"""When the demo's action begins, and the small movements around it where it may begin anywhere in a clip.

Both come from the clip's own random streams, in which the label plays no role: they are the same for every class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stp.config import Onset

Series = NDArray[np.floating]

SHARE = 3  # a clip in which the action begins anywhere is so many times as long as the action and its margins
LONGEST = 12  # frames of a small movement


def action_frames(frames: int, onset: Onset) -> int:
    """The frames of a clip of `frames` frames that the action and its margins take."""
    return frames // SHARE if onset == "anywhere" else frames


@dataclass(frozen=True)
class Fidgets:
    """Small movements that belong to no class: additions to the series of a pose, in scene units and radians.

    base   (frames, 2), of the body       hands   (frames, 2) each, of the left and the right hand
    yaw    (frames,), of the head         pitch   (frames,), likewise
    """

    base: Series
    yaw: Series
    pitch: Series
    hands: tuple[Series, Series]


def fidgets(rng: np.random.Generator, free: NDArray[np.bool_]) -> Fidgets:
    """One small movement after another, each out and back, wherever all its frames are `free`, (frames,) bool.

    A movement takes 6 to 12 frames: a hand moves in any direction, the head turns or nods once, or the body shifts.
    """
    frames = len(free)
    time = np.arange(frames)
    base, yaw, pitch = np.zeros((frames, 2), np.float32), np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    hands = (np.zeros((frames, 2), np.float32), np.zeros((frames, 2), np.float32))
    start = rng.uniform(-4, 3)
    while start < frames:
        length, kind, side = rng.uniform(6, LONGEST), int(rng.integers(4)), int(rng.integers(2))
        size, angle, pause = rng.choice([-1, 1]) * rng.uniform(0.35, 0.8), rng.uniform(0, 2 * np.pi), rng.uniform(1, 5)
        moving = (time > start) & (time < start + length)
        if free[moving].all():
            bump = np.where(moving, size * np.sin(np.pi * (time - start) / length) ** 2, 0).astype(np.float32)
            if kind == 0:
                hands[side][:] += 7 * bump[:, None] * np.array([np.cos(angle), np.sin(angle)], np.float32)
            elif kind == 1:
                yaw += np.float32(0.35) * bump
            elif kind == 2:
                pitch += np.float32(0.2) * bump
            else:
                base[:, 0] += np.float32(2.5) * bump
        start += length + pause
    return Fidgets(base, yaw, pitch, hands)
