"""Sampling in time: what a segment is, where the segments of a video start, and which fields their sub-segments have.

A video of `length` fields has max(1, length - L + 1) starts for a segment of L. As in TSN (Wang et al. 2016), the
starts are what is divided evenly; a video shorter than a segment gives its last field again and again.
"""

import re
from dataclasses import dataclass

import numpy as np

from stp.errors import UserError

NAME = re.compile(r"baseline|([1-9])-level")


@dataclass(frozen=True)
class Variant:
    """A column of Table 1.

    A video gives `segments` segments (the paper's N) of `segment_length` frames (L), a segment `subsegments`
    sub-segments (K) of `subsegment_length` frames, and a pyramid of `levels` levels (T) pools their features.
    """

    name: str
    segments: int = 3
    segment_length: int = 20
    subsegments: int = 4
    subsegment_length: int = 5
    levels: int = 1

    def __post_init__(self) -> None:
        if self.subsegment_length > self.segment_length:
            raise UserError(
                f"pyramid.subsegment_length {self.subsegment_length} is more than "
                f"pyramid.segment_length {self.segment_length}"
            )
        if self.subsegments % self.parts[-1]:
            raise UserError(
                f"pyramid.subsegments {self.subsegments} cannot be divided into the {self.parts[-1]} parts of "
                f"variant {self.name}; use a multiple of it or fewer levels"
            )

    @property
    def parts(self) -> tuple[int, ...]:
        """Number of parts of each level: 1, 2, 4, ..."""
        return tuple(2**level for level in range(self.levels))

    @property
    def subsegment_starts(self) -> tuple[int, ...]:
        """First frame of each sub-segment, spread evenly over the segment: 0, 5, 10, 15 for the paper's K = 4.

        Where K sub-segments are longer than the segment they overlap, as level 4 needs: it has 8 parts.
        """
        room = self.segment_length - self.subsegment_length
        gaps = max(1, self.subsegments - 1)
        return tuple((2 * room * k + gaps) // (2 * gaps) for k in range(self.subsegments))


def variant(
    name: str, segments: int = 3, segment_length: int = 20, subsegments: int = 4, subsegment_length: int = 5
) -> Variant:
    """The variant called `baseline` or `T-level`, with the paper's sizes by default.

    baseline   TSN: segments of a single sub-segment, no pyramid
    T-level    a T-level pyramid; from 4 levels on, K grows to the 2^(T-1) parts of the last level
    """
    match = NAME.fullmatch(name)
    if not match:
        raise UserError(f"variant '{name}' is unknown; allowed are baseline, 1-level, 2-level, 3-level, ...")
    if name == "baseline":
        return Variant(name, segments, subsegment_length, 1, subsegment_length, 1)
    levels = int(match[1])
    return Variant(name, segments, segment_length, max(subsegments, 2 ** (levels - 1)), subsegment_length, levels)


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
