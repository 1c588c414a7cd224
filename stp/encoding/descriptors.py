"""Improved trajectories as they are stored, (n, 430) a clip, and random samples of those of several clips.

0 to 3      t (the middle of the track, as a share of the clip's length), x, y, scale
4 to 429    the descriptors of each type, one after another
"""

from collections.abc import Sequence

import numpy as np

from stp.errors import UserError

COLUMNS = 430
TIME = 0  # the column of t
TYPES = {
    "shape": slice(4, 34),
    "hog": slice(34, 130),
    "hof": slice(130, 238),
    "mbhx": slice(238, 334),
    "mbhy": slice(334, 430),
}
LARGEST = max(columns.stop - columns.start for columns in TYPES.values())  # type


def check_trajectories(stored: np.ndarray) -> None:
    """Raise UserError unless an array is that of a clip's trajectories."""
    if stored.ndim != 2 or stored.shape[1] != COLUMNS:
        raise UserError(
            f"features idt: a clip's array must be (trajectories, {COLUMNS}), but is {stored.shape}; compute them again"
        )


def even_shares(available: np.ndarray, total: int) -> np.ndarray:
    """How many of `total` each clip gives, of the numbers `available`: int64 (clips,).

    Shares are as even as can be: what a clip lacks is taken from those that have more.
    """
    shares, left = np.zeros(len(available), np.int64), total
    for done, clip in enumerate(np.argsort(available, kind="stable")):  # those that have the fewest first
        shares[clip] = min(available[clip], left // (len(available) - done))
        left -= shares[clip]
    return shares


def sample(clips: Sequence[np.ndarray], lengths: np.ndarray, total: int, seed: int) -> np.ndarray:
    """Up to `total` rows drawn at random, evenly over clips of these lengths: (rows, columns).

    Clips are read one by one, in their order.
    """
    rng, drawn = np.random.default_rng(seed), []
    for number, share in enumerate(even_shares(lengths, total)):
        if share:
            stored = clips[number]
            check_trajectories(stored)
            drawn.append(stored[np.sort(rng.choice(len(stored), share, replace=False))])
    return np.concatenate(drawn) if drawn else np.zeros((0, COLUMNS), np.float32)
