"""Matching of two frames' key points: the most alike one within a window, by exhaustive search.

Candidates are sorted by x, so that a search covers only the strip of the frame that the window reaches.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from stp.system.compilation import compiled
from stp.warped.keypoints import KeyPoints

DISTANCE_BITS = np.uint64(32)  # a candidate's rank is its distance above these bits and its index in them:
INDEX_MASK = np.uint64((1 << 32) - 1)  # the least rank is the least distance, of equals the first
NO_CANDIDATE = np.uint64(1 << 63)


def count_ones(typing_context: Any, word: Any) -> Any:
    """Number of one bits of a uint64, an instruction that numba has no name for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


ones: Any = intrinsic(count_ones)  # called with the word alone


@compiled(nogil=True, error_model="numpy")
def nearest_by_hamming(
    old: np.ndarray,
    old_words: np.ndarray,
    indices: np.ndarray,
    new: np.ndarray,
    new_words: np.ndarray,
    strips: np.ndarray,
    window: np.float32,
) -> np.ndarray:
    """Index of each new point's match or -1.

    `old` (2, n) and `old_words` (4, n) uint64 lie component by component and the search has no branches, so that it
    vectorises.
    """
    x, y = old[0], old[1]
    a, b, c, d = old_words[0], old_words[1], old_words[2], old_words[3]
    matches = np.empty(len(new), np.int64)
    for m in range(len(new)):
        here_x, here_y = new[m]
        p, q, r, s = new_words[m, 0], new_words[m, 1], new_words[m, 2], new_words[m, 3]
        least = NO_CANDIDATE
        for k in range(strips[m, 0], strips[m, 1]):
            distance = ones(a[k] ^ p) + ones(b[k] ^ q) + ones(c[k] ^ r) + ones(d[k] ^ s)
            near = (abs(x[k] - here_x) <= window) & (abs(y[k] - here_y) <= window)
            least = min(least, (distance << DISTANCE_BITS | indices[k]) if near else NO_CANDIDATE)
        matches[m] = -1 if least == NO_CANDIDATE else np.int64(least & INDEX_MASK)
    return matches


@compiled(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def nearest_by_l2(
    old: np.ndarray,
    old_vectors: np.ndarray,
    indices: np.ndarray,
    new: np.ndarray,
    new_vectors: np.ndarray,
    strips: np.ndarray,
    window: np.float32,
) -> np.ndarray:
    """Index of each new point's match or -1; SIFT's descriptors are integers, so that no order of a sum rounds."""
    x, y = old[0], old[1]
    matches = np.full(len(new), -1, np.int64)
    for m in range(len(new)):
        here_x, here_y = new[m]
        least = np.float32(np.inf)
        for k in range(strips[m, 0], strips[m, 1]):
            if abs(x[k] - here_x) <= window and abs(y[k] - here_y) <= window:
                distance = np.float32(0)
                for c in range(new_vectors.shape[1]):
                    difference = old_vectors[k, c] - new_vectors[m, c]
                    distance += difference * difference
                if distance < least or (distance == least and indices[k] < matches[m]):
                    least, matches[m] = distance, indices[k]
    return matches


def match_keypoints(previous: KeyPoints, following: KeyPoints, window: float) -> tuple[np.ndarray, np.ndarray]:
    """The previous frame's most alike key point within `window` pixels in x and y for each of the following frame's.

    Alike by L2 distance for SIFT, by Hamming distance for ORB; of equally alike ones the first. Returns points (m, 2)
    float32 in the previous and in the following frame.
    """
    order = np.argsort(previous.points[:, 0])
    old = np.ascontiguousarray(previous.points[order].T)
    centres = following.points[:, :1]
    reach = np.array([-window - 1, window + 1], np.float32)  # a pixel more, since sums round; the kernels look closely
    strips = np.searchsorted(old[0], centres + reach).astype(np.uint64)  # unsigned, or loops do not vectorise
    if following.descriptors.dtype == np.uint8:
        words = np.ascontiguousarray(previous.descriptors.view(np.uint64)[order].T)
        matches = nearest_by_hamming(
            old,
            words,
            order.astype(np.uint64),
            following.points,
            following.descriptors.view(np.uint64),
            strips,
            np.float32(window),
        )
    else:
        vectors = previous.descriptors[order]
        matches = nearest_by_l2(
            old, vectors, order, following.points, following.descriptors, strips, np.float32(window)
        )
    matched = matches >= 0
    return previous.points[matches[matched]], following.points[matched]
