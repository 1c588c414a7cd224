"""Sampling in time: where the segments of a video start, and which stored fields make up their sub-segments.

A video of `length` fields has max(1, length - L + 1) starts for a segment of L. As in TSN (Wang et al. 2016), the
starts are what is divided evenly; a video shorter than a segment gives its last field again and again.
"""

import numpy as np

from stp.variants import Variant


def _starts(length: int, segment_length: int) -> int:
    return max(1, length - segment_length + 1)


def training_starts(length: int, segments: int, segment_length: int, rng: np.random.Generator) -> np.ndarray:
    """One random start in each of `segments` even divisions of the starts: (segments,) int64."""
    starts = _starts(length, segment_length)
    edges = np.arange(segments + 1) * starts // segments
    return rng.integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))


def even_starts(length: int, segments: int, segment_length: int) -> np.ndarray:
    """The middles of `segments` even divisions of the starts: (segments,) int64."""
    starts = _starts(length, segment_length)
    return (2 * np.arange(segments) + 1) * starts // (2 * segments)


def subsegment_fields(starts: np.ndarray, stack: int, length: int) -> np.ndarray:
    """Fields of sub-segments that begin at `starts` (any shape): starts.shape + (stack,) int64, clamped to the last."""
    return np.minimum(starts[..., None] + np.arange(stack), length - 1)


def segment_subsegments(starts: np.ndarray, variant: Variant) -> np.ndarray:
    """First fields of the sub-segments of segments that begin at `starts`: (N,) -> (N, K) int64."""
    return starts[:, None] + np.array(variant.subsegment_starts)
