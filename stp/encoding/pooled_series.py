"""Pooled time series (Ryoo, Rothrock and Matthies, CVPR 2015): series of values, however long, as one vector.

Windows and operators are those of the authors' program (PoT.java of USCDataScience/hadoop-pot). A window's borders are
rounded, and both belong to it, so that neighbouring windows share a frame. Differences look two frames back, at the
beginning of a window also at frames before it; the first two frames of the series have none.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from stp.encoding.fisher import unit_length

Operator = Literal["sum", "max", "counts", "changes"]
LEVELS = 4  # of the temporal pyramid: 1 + 2 + 4 + 8 windows
LAG = 2  # frames between the values whose difference is a gradient
LEAST = 0.01  # a difference that is counted


def windows(frames: int, levels: int = LEVELS) -> np.ndarray:
    """The first and the last frame of each window of a temporal pyramid: int64 (2 ** levels - 1, 2).

    Window k of the n of a level reaches from frame k (frames - 1) / n to (k + 1) (frames - 1) / n, halves rounded up.
    """
    counts = [2**level for level in range(levels)]
    borders = [[(2 * (frames - 1) * k + n) // (2 * n) for k in range(n + 1)] for n in counts]
    return np.array([pair for level in borders for pair in pairwise(level)], np.int64)


def pooled(series: np.ndarray, operator: Operator) -> np.ndarray:
    """The values of an operator on D series (frames, D) in every window: float64 (values,), ordered by window.

    sum       of the values, D numbers in each window
    max       the largest value, D numbers
    counts    the numbers of differences above .01 and below -.01, 2 D numbers
    changes   the sums of the positive differences and of the sizes of the negative ones, 2 D numbers
    """
    values = np.asarray(series, np.float64)
    gradients = np.zeros_like(values)
    gradients[LAG:] = values[LAG:] - values[:-LAG]
    if operator == "sum":
        planes = [values]
    elif operator == "max":
        return np.concatenate([values[first : last + 1].max(0) for first, last in windows(len(values))])
    elif operator == "counts":
        planes = [(gradients > LEAST).astype(np.float64), (gradients < -LEAST).astype(np.float64)]
    else:
        planes = [np.maximum(gradients, 0), np.maximum(-gradients, 0)]
    return np.concatenate([plane[first : last + 1].sum(0) for first, last in windows(len(values)) for plane in planes])


def normed(block: np.ndarray) -> np.ndarray:
    """The signed square roots of a vector, divided by their length; zeros stay zeros."""
    return unit_length(np.sign(block) * np.sqrt(np.abs(block)))


def pooled_series(series: np.ndarray, operators: Sequence[Operator]) -> np.ndarray:
    """The normed block of each operator, one after another: float64 (15 windows x D x 1 or 2 for each operator,)."""
    return np.concatenate([normed(pooled(series, operator)) for operator in operators])
