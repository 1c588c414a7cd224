"""Images that are stacks of several frames, for networks that see time."""

from collections.abc import Sequence

from torch import Tensor


def split_frames(images: Tensor, frames: int, channels: Sequence[int]) -> list[Tensor]:
    """The frames of each modality in stacked images: (B, sum of T * C, H, W) -> (B, T, C, H, W) each.

    `channels` are the numbers C of each modality; the order is that of `stp.sampling.frames.FrameSampler`.
    """
    parts = images.split([frames * number for number in channels], 1)
    return [part.unflatten(1, (frames, number)) for part, number in zip(parts, channels, strict=True)]
