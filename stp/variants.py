"""Variants: what a segment is and how its sub-segments are pooled (paper sections 3.1, 3.2 and 4.2)."""

import re
from dataclasses import dataclass

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
