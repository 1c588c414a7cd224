"""Frames of a whole video, for methods whose samples are not the segments of the paper.

    SparseSampler    one frame in each of T even divisions of the video (TSN's sparse sampling)
    StridedSampler   T frames at equal distances, which are drawn

Around every frame lie the fields that the network sees with it: the frame itself, or a stack of flow fields.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from stp.sampling.segments import even_starts, training_starts


@dataclass(frozen=True)
class FrameSampler(ABC):
    """T frames of a video and the fields around them, as a `stp.sampling.samples.Sampler`.

    `stacks` are the numbers of consecutive fields of each modality, which share their middle: (1,) for RGB frames, (1,
    10) for frames with flow stacks. The middle of an even number is the later one: 5 of 10 flow fields are before the
    frame, as in the code of two-stream fusion and the multiplier network. With `together`, all frames make a single
    image, for networks that see time: the fields of its first modality for every frame, then those of the next.
    Otherwise every frame is an image.
    """

    frames: int
    stacks: tuple[int, ...]
    together: bool = False

    @property
    def segments(self) -> int:
        """A sample is one segment, the whole video."""
        return 1

    @property
    def subsegments(self) -> int:
        """The number of images of a sample."""
        return 1 if self.together else self.frames

    @property
    def columns(self) -> tuple[int, ...]:
        """The number of fields of each modality in an image."""
        return tuple(self.frames * fields for fields in self.stacks) if self.together else self.stacks

    @property
    def stack(self) -> int:
        """The number of fields in an image."""
        return sum(self.columns)

    @property
    def pictures(self) -> int:
        """The number of pictures in an image: of each frame, one a modality."""
        return (self.frames if self.together else 1) * len(self.stacks)

    @property
    def subsegment_length(self) -> int:
        """The number of frames that an image covers at most."""
        return self._around

    @property
    def _around(self) -> int:
        """The number of fields around a frame."""
        return max(self.stacks)

    @property
    def scored_field(self) -> int:
        """Images begin where their frames' fields do."""
        return 0

    def draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """A random sample of a clip of `length` fields: int64 (images, stack)."""
        return self._fields(self._draw(length, rng), length)

    def spread(self, length: int, segments: int) -> np.ndarray:
        """Samples spread evenly over a clip of `length` fields: int64 (segments, images, stack)."""
        return self._fields(self._spread(length, segments), length)

    @abstractmethod
    def _draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """First fields around T random frames: int64 (T,)."""

    @abstractmethod
    def _spread(self, length: int, segments: int) -> np.ndarray:
        """First fields around the frames of evenly spread samples: int64 (segments, T)."""

    def _fields(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Fields of images from the first fields around their frames, (..., T) -> (..., images, stack).

        Fields beyond the end of the video become its last field.
        """
        longest = self._around
        fields = [
            np.minimum(starts[..., None] + longest // 2 - stack // 2 + np.arange(stack), length - 1)
            for stack in self.stacks
        ]
        if self.together:
            fields = [part.reshape(*starts.shape[:-1], 1, -1) for part in fields]
        return np.concatenate(fields, -1)


@dataclass(frozen=True)
class SparseSampler(FrameSampler):
    """One frame in each of T even divisions of the video: at random in training, evenly spread in scoring."""

    def _draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        return training_starts(length, self.frames, self._around, rng)

    def _spread(self, length: int, segments: int) -> np.ndarray:
        starts = even_starts(length, self.frames * segments, self._around)
        return starts.reshape(self.frames, segments).T


@dataclass(frozen=True)
class StridedSampler(FrameSampler):
    """T frames at equal distances of `least` to `most` fields, or less where the video is too short for that.

    In training the distance and the place are drawn; samples are scored at the largest distance.
    """

    least: int = 1
    most: int = 1

    @property
    def subsegment_length(self) -> int:
        """The number of frames that an image covers at most: all T of them, if they are together."""
        return self._span(self.most) if self.together else self._around

    def _draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        most = self._most(length)
        distance = int(rng.integers(min(self.least, most), most + 1))
        return int(training_starts(length, 1, self._span(distance), rng)[0]) + distance * np.arange(self.frames)

    def _spread(self, length: int, segments: int) -> np.ndarray:
        distance = self._most(length)
        return even_starts(length, segments, self._span(distance))[:, None] + distance * np.arange(self.frames)

    def _span(self, distance: int) -> int:
        return (self.frames - 1) * distance + self._around

    def _most(self, length: int) -> int:
        """The largest distance, at most `most`, with which the frames lie within the video; at least 1."""
        room = (length - self._around) // max(1, self.frames - 1)
        return max(1, min(self.most, room))
