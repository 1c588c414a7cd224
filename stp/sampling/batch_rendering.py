"""All images of a batch in one launch on a GPU: `stp.sampling.crops.render` of every sample, stacked."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stp.data.modalities import Modality

BLOCK = 256  # pixels of a program, two a thread: 72 registers at most for the 3 taps of usual scales
WARPS = 4


class Region(NamedTuple):
    """Where the cropped fields of a sample lie in a tensor of bytes: fields of channels of rows.

    `first` is the byte of the crop's first pixel in field 0; `field`, `channel` and `row` are the bytes from one to the
    next. The order is that of `render_kernels`.
    """

    first: int
    field: int
    channel: int
    row: int
    height: int
    width: int
    flip: bool


class Normalisation(NamedTuple):
    """The input format of a network: (value - mean) / std of values 0..255, in reverse order of channels with `bgr`.

    `mean` and `std` are float32 (C,), or (1,) for all channels alike, on the network's device.
    """

    mean: Tensor
    std: Tensor
    bgr: bool


@dataclass(frozen=True, eq=False)
class ImageTable:
    """The parts of which a batch's images are made: `numbers` int64, laid out for the kernel.

    An image has `stack` fields. `longest` is the longest side of a region, in pixels.
    """

    numbers: Tensor
    regions: int
    images: int
    stack: int
    longest: int

    @classmethod
    def of(cls, regions: Sequence[Region], fields: Sequence[np.ndarray]) -> "ImageTable":
        """The table, in the host's memory, of regions and the fields of their images: int64 (M, stack) each.

        Fields are counted within their region.
        """
        owners = np.repeat(np.arange(len(regions)), [len(part) for part in fields])
        numbers = np.concatenate([np.array(regions, np.int64).reshape(-1), owners, np.concatenate(fields).reshape(-1)])
        longest = max(max(region.height, region.width) for region in regions)
        return cls(torch.from_numpy(numbers), len(regions), len(owners), fields[0].shape[1], longest)


def taps(longest: int, size: int) -> int:
    """Source pixels along an axis that a target pixel can depend on, when `longest` pixels become `size`, rounded up.

    The filter reaches `scale` pixels to both sides, at least one, so it covers at most floor(2 * scale) + 1 pixels.
    Rounded up to 2 ** k + 1, because each number is a kernel to be compiled: 3 for scales below 1.5, 5 below 2.5.
    """
    covered = int(2 * max(longest / size, 1) + 1e-3) + 1  # the sum of rounding errors in float32 is smaller
    return 1 + (1 << (covered - 2).bit_length())


def render_batch(
    data: Tensor, table: ImageTable, modality: Modality, size: int, normalisation: Normalisation | None = None
) -> Tensor:
    """The images of a batch: float32 (images, stack * C, size, size) of 0..255, channels last in memory.

    They equal those of `stp.sampling.crops.render` up to rounding. With a `normalisation` they are bfloat16 instead,
    rounded when they have been normalised.

    Args:
        data: the bytes that the table's regions lie in, uint8, on a device for which triton `runs_kernels`.
        table: with its numbers on the same device.
        modality: of all fields.
        size: height and width of the images in pixels.
        normalisation: on the same device; `bgr` is for images of one field.
    """
    from stp.sampling.render_kernels import render_images

    channels = modality.channels
    factors, dtype, reverse = None, torch.float32, False
    if normalisation:
        factors = torch.stack(normalisation[:2]).expand(2, channels).contiguous()
        dtype, reverse = torch.bfloat16, normalisation.bgr
    out = torch.empty((table.images, size, size, table.stack * channels), dtype=dtype, device=data.device)
    blocks = -(-(size * size) // BLOCK)
    with torch.cuda.device(data.device) if data.device.type == "cuda" else nullcontext():
        # Without fused products, source pixels and weights are rounded as on a CPU.
        render_images[(table.images * blocks,)](
            data, table.numbers, factors, out, table.regions, table.images,
            SIZE=size, TAPS=taps(table.longest, size), STACK=table.stack, CHANNELS=channels, FLOW=modality.is_flow,
            REVERSED=reverse, BLOCK=BLOCK, num_warps=WARPS, enable_fp_fusion=False,
        )  # fmt: skip
    return out.permute(0, 3, 1, 2)
