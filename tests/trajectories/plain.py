"""All trajectories of a clip at once."""

from collections.abc import Iterable

import numpy as np

from stp.trajectories import COLUMNS, Trajectories


def joined(parts: Iterable[Trajectories]) -> Trajectories:
    """The trajectories of a clip, from those that end in each frame."""
    none = np.empty(0, np.int64)
    parts = [
        Trajectories(none, none, *(np.empty((0, *shape), np.float32) for shape in ((16, 2), (COLUMNS - 4,)))),
        *parts,
    ]
    names = ("last_frames", "layers", "points", "numbers")
    return Trajectories(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
