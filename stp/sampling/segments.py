"""Sampling in time: where the segments of a video start, and which stored fields belong to their sub-segments.

A video of `length` fields has max(1, length - L + 1) possible starts for a segment of L. Training segments start at
random places. By the sampling `starts`, as in TSN (Wang et al. 2016), the possible starts are divided evenly, and there
is one segment in each part. By `clips`, as the paper's section 3.1 reads, the video is divided evenly into clips, and
each segment lies within its clip; a clip shorter than a segment has one that begins with it. Test segments are spread
evenly over the possible starts. A video shorter than a segment repeats its last field.

An image that is shorter than its sub-segment, as a single frame is, may lie anywhere in it: in training at random, in
scoring in the middle, the mean of these places. Taken from the sub-segment's start only, as `first` does, images never
show the last frames of a video.
"""

from dataclasses import dataclass

import numpy as np

from stp.config import Pyramid, RgbFrame, Sampling
from stp.errors import UserError


@dataclass(frozen=True)
class SegmentSampler:
    """Segments and their sub-segments (paper sections 3.1 and 3.2), as a `stp.sampling.samples.Sampler`.

    A video has `segments` segments (the paper's N) of `segment_length` frames (L). A segment has `subsegments`
    sub-segments (K) of `subsegment_length` frames. An image is a stack of `stack` consecutive fields of a sub-segment:
    any of them, or the first ones, as `frame` says.
    """

    segments: int = Pyramid.segments
    segment_length: int = Pyramid.segment_length
    subsegments: int = Pyramid.subsegments
    subsegment_length: int = Pyramid.subsegment_length
    stack: int = 1
    sampling: Sampling = Pyramid.sampling
    frame: RgbFrame = Pyramid.rgb_frame

    def __post_init__(self) -> None:
        if self.subsegment_length > self.segment_length:
            raise UserError(
                f"pyramid.subsegment_length {self.subsegment_length} is more than "
                f"pyramid.segment_length {self.segment_length}"
            )

    @property
    def subsegment_starts(self) -> tuple[int, ...]:
        """First frame of each sub-segment, spread evenly over the segment: 0, 5, 10, 15 for the paper's K = 4.

        Sub-segments overlap if K of them are longer than the segment. Level 4 needs this, because it has 8 parts.
        """
        room = self.segment_length - self.subsegment_length
        gaps = max(1, self.subsegments - 1)
        return tuple((2 * room * k + gaps) // (2 * gaps) for k in range(self.subsegments))

    @property
    def columns(self) -> tuple[int, ...]:
        """Segments are of a single modality."""
        return (self.stack,)

    @property
    def pictures(self) -> int:
        """An image is one frame, or one stack of flow fields."""
        return 1

    @property
    def _room(self) -> int:
        """The number of fields by which an image may be later than the start of its sub-segment."""
        return 0 if self.frame == "first" else self.subsegment_length - self.stack

    @property
    def scored_field(self) -> int:
        """Where in its sub-segment a scored image begins: 2 for one frame of five, 0 for a stack of all five."""
        return self._room // 2

    def draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Fields of N segments that start at random places: int64 (N * K, stack).

        The images of a segment are in the order of time, also where its sub-segments overlap.
        """
        draw = training_starts if self.sampling == "starts" else starts_in_clips
        first = self._subsegments(draw(length, self.segments, self._placed(length), rng))
        if self._room:  # otherwise no random number is used
            first = np.sort(first + rng.integers(0, self._room + 1, first.shape), axis=1)
        return subsegment_fields(first.reshape(-1), self.stack, length)

    def spread(self, length: int, segments: int) -> np.ndarray:
        """Fields of segments at the middles of even divisions of the starts: int64 (segments, K, stack)."""
        starts = even_starts(length, segments, self._placed(length))
        return subsegment_fields(self._subsegments(starts) + self.scored_field, self.stack, length)

    def _placed(self, length: int) -> int:
        """The first fields of a segment that lie within a video of `length` fields, wherever the segment starts."""
        return self.segment_length

    def _subsegments(self, starts: np.ndarray) -> np.ndarray:
        """First fields of the sub-segments of segments that begin at `starts`: (N,) -> (N, K) int64."""
        return starts[:, None] + np.array(self.subsegment_starts)


@dataclass(frozen=True)
class SlidingSampler(SegmentSampler):
    """Segments in which a pyramid of `pyramid_length` frames slides from one sub-segment to the next.

    A segment may run over the end of a video that is too short for it, but the pyramid at its first offset does not. In
    such a video, too, segments start at every field between two neighbouring sub-segments, so that the pyramid sees
    the video at every distance from its start.
    """

    pyramid_length: int = Pyramid.segment_length

    def _placed(self, length: int) -> int:
        distance = self.subsegment_starts[1] if self.subsegments > 1 else 1
        return min(self.segment_length, max(length - distance + 1, self.pyramid_length))


def _starts(length: int, segment_length: int) -> int:
    return max(1, length - segment_length + 1)


def training_starts(length: int, segments: int, segment_length: int, rng: np.random.Generator) -> np.ndarray:
    """One random start in each of `segments` even divisions of the starts: (segments,) int64."""
    starts = _starts(length, segment_length)
    edges = np.arange(segments + 1) * starts // segments
    return rng.integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))


def starts_in_clips(length: int, segments: int, segment_length: int, rng: np.random.Generator) -> np.ndarray:
    """A random start in each of `segments` even divisions of the video, so that the segment ends in it: (segments,)."""
    edges = np.arange(segments + 1) * length // segments
    last = np.minimum(np.maximum(edges[1:] - segment_length, edges[:-1]), _starts(length, segment_length) - 1)
    return rng.integers(np.minimum(edges[:-1], last), last + 1)


def even_starts(length: int, segments: int, segment_length: int) -> np.ndarray:
    """The middles of `segments` even divisions of the starts: (segments,) int64."""
    starts = _starts(length, segment_length)
    return (2 * np.arange(segments) + 1) * starts // (2 * segments)


def subsegment_fields(starts: np.ndarray, stack: int, length: int) -> np.ndarray:
    """Fields of the images that begin at `starts` (any shape): int64 starts.shape + (stack,).

    Fields beyond the end of the video become its last field.
    """
    return np.minimum(starts[..., None] + np.arange(stack), length - 1)
