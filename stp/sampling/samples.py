"""Samples: which fields of a clip become images and how they are cropped, drawn for training or fixed for scoring.

Nothing is read here: the same samples give the same images wherever the fields live (`stp.sampling.loading`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stp.data.index import Clip
from stp.data.modalities import MODALITIES
from stp.data.shards import ClipFields
from stp.sampling.crops import Crop, fixed_crops, training_crop
from stp.sampling.segments import Variant, even_starts, segment_subsegments, subsegment_fields, training_starts
from stp.training.run import Run


@dataclass(frozen=True, eq=False)
class Sample:
    """Images of a clip, all cropped alike: `indices` (M, stack) int64 are the stored fields of each of M images."""

    clip: str
    indices: np.ndarray
    crop: Crop

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """The fields it needs, ascending (n,) int64, and where among them each index is found, (M * stack,) int64."""
        fields, places = np.unique(self.indices, return_inverse=True)
        return fields, places.reshape(-1)


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """A sample of N * K images from each of B clips, and the numbers of their classes, (B,) int64."""

    samples: list[Sample]
    labels: np.ndarray


def draw_batch(run: Run, fields: ClipFields, clips: Sequence[Clip], rng: np.random.Generator) -> list[Sample]:
    """A random sample of each clip: one start in each of N parts of the clip, and one crop for all its images."""
    modality, variant = MODALITIES[run.modality], run.settings.variant(run.variant)
    stack, scales = modality.stack(variant.subsegment_length), run.settings.stream(modality).scales
    samples = []
    for clip in clips:
        length, _, height, width = fields[clip.clip].shape
        starts = training_starts(length, variant.segments, variant.segment_length, rng)
        indices = subsegment_fields(segment_subsegments(starts, variant).reshape(-1), stack, length)
        samples.append(Sample(clip.clip, indices, training_crop(height, width, scales, rng)))
    return samples


def draw_epoch(run: Run, fields: ClipFields, clips: Sequence[Clip], rng: np.random.Generator) -> list[TrainingBatch]:
    """Every clip once, in random order; all that is random about an epoch's images is drawn here."""
    number = {name: i for i, name in enumerate(run.classes)}
    order = rng.permutation(len(clips))
    batches = []
    for first in range(0, len(order), run.settings.batch_videos):
        chosen = [clips[i] for i in order[first : first + run.settings.batch_videos]]
        labels = np.array([number[clip.label] for clip in chosen], np.int64)
        batches.append(TrainingBatch(draw_batch(run, fields, chosen, rng), labels))
    return batches


@dataclass(frozen=True)
class Views:
    """How a clip is seen in scoring: `segments` spread evenly over it, each in `crops` fixed crops (1, 2, 5 or 10).

    The defaults are the paper's 25 segments and TSN's 10 crops.
    """

    segments: int = 25
    crops: int = 10


@dataclass(frozen=True, eq=False)
class ScoredSegments:
    """The segments by which a clip is scored; they overlap, so each distinct sub-segment is listed once.

    `views` holds a sample of the n distinct sub-segments for each crop; `places` (segments, K) int64 says which of the
    n a segment is made of.
    """

    views: list[Sample]
    places: np.ndarray


def scored_segments(
    fields: ClipFields,
    clip: str,
    variant: Variant,
    segments: int,
    crops: int,
    spans: Sequence[tuple[int, int]] | None = None,
) -> ScoredSegments:
    """Evenly spread segments of a clip, each seen in `crops` fixed crops (1, 2, 5 or 10).

    With `spans`, the first field and the number of fields of parts of the clip, so many segments of each part, one part
    after another: those that the part would have if it were a clip by itself.
    """
    length, _, height, width = fields[clip].shape
    stack = MODALITIES[fields.modality].stack(variant.subsegment_length)
    parts = []
    for first, count in spans or [(0, length)]:
        starts = np.minimum(
            segment_subsegments(even_starts(count, segments, variant.segment_length), variant), count - 1
        )
        parts.append(first + subsegment_fields(starts, stack, count))
    subsegments = np.concatenate(parts)  # (segments, K, stack)
    distinct, places = np.unique(subsegments.reshape(-1, stack), axis=0, return_inverse=True)
    views = [Sample(clip, distinct, crop) for crop in fixed_crops(height, width, crops)]
    return ScoredSegments(views, places.reshape(subsegments.shape[:2]))
