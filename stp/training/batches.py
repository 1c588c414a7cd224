"""Training batches: an epoch's samples as images and labels on the device."""

import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from stp.sampling.batch_rendering import Normalisation
from stp.sampling.loading import DeviceFields, upload
from stp.sampling.samples import Sampler, TrainingBatch


def training_images(
    sampler: Sampler,
    input_size: int,
    source: DeviceFields,
    epoch: Iterable[TrainingBatch],
    normalisation: Normalisation | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's batches on the device: images (B, N, K, stack * C, size, size) and labels (B,) int64.

    Images are float32 of 0..255, or bfloat16 that has gone through the `normalisation` (`DeviceFields.images`). Batches
    are taken one by one, a few ahead of their use.
    """
    taken, made = itertools.tee(epoch)
    images = source.images((batch.samples for batch in taken), input_size, normalisation)
    for batch, flat in zip(made, images, strict=True):
        shape = (len(batch.samples), sampler.segments, sampler.subsegments)
        yield flat.unflatten(0, shape), upload(torch.from_numpy(batch.labels), source.device)
