"""Training batches: an epoch's samples as images and labels on the device."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from stp.sampling.loading import DeviceFields, upload
from stp.sampling.samples import TrainingBatch
from stp.training.run import Run


def training_images(run: Run, source: DeviceFields, epoch: Sequence[TrainingBatch]) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's batches on the device: images (B, N, K, stack * C, size, size) float32 and labels (B,) int64."""
    variant = run.settings.variant(run.variant)
    images = source.images((batch.samples for batch in epoch), run.settings.input_size)
    for batch, flat in zip(epoch, images, strict=True):
        shape = (len(batch.samples), variant.segments, variant.subsegments)
        yield flat.unflatten(0, shape), upload(torch.from_numpy(batch.labels), source.device)
