"""Samples: which fields of a clip become images and how they are cropped, drawn for training or fixed for scoring.

Nothing is read here: the same samples give the same images wherever the fields are stored (`stp.sampling.loading`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stp.config import Views
from stp.data.index import Clip
from stp.data.joint import InputFields
from stp.sampling.crops import Crop, fixed_crops, training_crop


class Sampler(Protocol):
    """Chooses the fields of a clip that become images: N segments of K sub-segments, each an image of `stack` fields.

    With a single sub-segment per segment, each segment is one image.
    """

    @property
    def segments(self) -> int:
        """N, the number of segments in a training sample."""
        ...

    @property
    def subsegments(self) -> int:
        """K, the number of images in a segment."""
        ...

    @property
    def stack(self) -> int:
        """The number of fields that are stacked into one image."""
        ...

    @property
    def columns(self) -> tuple[int, ...]:
        """The number of these fields in each modality of the input, in its order; together they are `stack`."""
        ...

    @property
    def pictures(self) -> int:
        """The number of 2D pictures in an image, frames or stacks of flow fields, each as costly as an image of one.

        It is 1 unless an image is of several frames, for networks that see time, or of several modalities.
        """
        ...

    @property
    def subsegment_length(self) -> int:
        """The number of frames that a sub-segment covers."""
        ...

    @property
    def scored_field(self) -> int:
        """The place in a sub-segment of the first field of the image by which it is scored."""
        ...

    def draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """A random training sample of a clip of `length` fields: int64 (N * K, stack)."""
        ...

    def spread(self, length: int, segments: int) -> np.ndarray:
        """Segments spread evenly over a clip of `length` fields: int64 (segments, K, stack)."""
        ...


def images_of(pictures: int, sampler: Sampler) -> int:
    """The number of images, at least one, that have at most so many pictures together."""
    return max(1, pictures // sampler.pictures)


@dataclass(frozen=True, eq=False)
class Sample:
    """M images of a clip, all cropped alike; `indices` int64 (M, stack) are the stored fields of each image.

    For an input of several modalities, an image has the fields of the first modality, then those of the next.
    """

    clip: str
    indices: np.ndarray
    crop: Crop

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct fields of the sample, int64 (n,) ascending, and the place of each index in them.

        The places are int64 (M * stack,).
        """
        fields, places = np.unique(self.indices, return_inverse=True)
        return fields, places.reshape(-1)


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """A sample of N * K images from each of B clips, and the class numbers of the clips, int64 (B,)."""

    samples: list[Sample]
    labels: np.ndarray


@dataclass(frozen=True)
class Drawing:
    """How training samples are drawn: fields by `sampler`, crops with sides of `scales` times the short side.

    A batch has `batch_videos` clips. With `balance_power` 0 an epoch has every clip once; else as many clips, drawn
    with replacement by `class_weights`.
    """

    sampler: Sampler
    scales: tuple[float, ...]
    batch_videos: int
    balance_power: float = 0


def class_weights(labels: np.ndarray, classes: int, power: float) -> np.ndarray:
    """The weight of a clip of each class, float64 (classes,): n ** -power for n clips, scaled to mean 1 over clips.

    In sampling, power 1 draws all classes equally often, and .5 in proportion to the roots of their sizes: q = 0 and
    q = 1/2 in equation 1 of Kang et al., "Decoupling representation and classifier for long-tailed recognition" (ICLR
    2020). A class without clips has the weight 0.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -power, 0.0)
    scaled: np.ndarray = weights / weights[labels].mean()
    return scaled


def draw_batch(drawing: Drawing, fields: InputFields, clips: Sequence[Clip], rng: np.random.Generator) -> list[Sample]:
    """A random sample of each clip, with one crop for all its images."""
    samples = []
    for clip in clips:
        length, _, height, width = fields.shape(clip.clip)
        indices = drawing.sampler.draw(length, rng)
        samples.append(Sample(clip.clip, indices, training_crop(height, width, drawing.scales, rng)))
    return samples


def draw_epoch(
    drawing: Drawing, fields: InputFields, clips: Sequence[Clip], classes: Sequence[str], rng: np.random.Generator
) -> Iterator[TrainingBatch]:
    """The batches of an epoch: every clip once, in random order, or clips drawn to balance the classes.

    Everything that is random about an epoch's images is drawn here, batch by batch as they are taken.
    """
    number = {name: i for i, name in enumerate(classes)}
    if drawing.balance_power:
        labels = np.array([number[clip.label] for clip in clips], np.int64)
        shares = class_weights(labels, len(classes), drawing.balance_power)[labels] / len(clips)
        order = rng.choice(len(clips), len(clips), p=shares)
    else:
        order = rng.permutation(len(clips))
    for first in range(0, len(order), drawing.batch_videos):
        chosen = [clips[i] for i in order[first : first + drawing.batch_videos]]
        labels = np.array([number[clip.label] for clip in chosen], np.int64)
        yield TrainingBatch(draw_batch(drawing, fields, chosen, rng), labels)


@dataclass(frozen=True, eq=False)
class ScoredSegments:
    """The segments by which a clip is scored; they overlap, so each distinct sub-segment is listed once.

    `views` holds, for each crop, a sample of the n distinct sub-segments. `places` int64 (segments, K) says which of
    these n each segment is made of.
    """

    views: list[Sample]
    places: np.ndarray


def scored_segments(
    fields: InputFields, clip: str, sampler: Sampler, views: Views, spans: Sequence[tuple[int, int]] | None = None
) -> ScoredSegments:
    """Evenly spread segments of a clip, each seen in the fixed crops of `views`.

    `spans` lists parts of the clip, each as its first field and its number of fields. Then each part has
    `views.segments` segments, those that it would have as a separate clip, and the parts follow one another.
    """
    length, _, height, width = fields.shape(clip)
    parts = [first + sampler.spread(count, views.segments) for first, count in spans or [(0, length)]]
    subsegments = np.concatenate(parts)  # (segments, K, stack)
    distinct, places = np.unique(subsegments.reshape(-1, sampler.stack), axis=0, return_inverse=True)
    samples = [Sample(clip, distinct, crop) for crop in fixed_crops(height, width, views.crops)]
    return ScoredSegments(samples, places.reshape(subsegments.shape[:2]))
