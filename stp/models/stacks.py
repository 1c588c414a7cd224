"""Images that are stacks: of several frames, for networks that see time, and of flow fields."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

NO_MOTION = 128.0  # the byte of zero flow


class Layout(NamedTuple):
    """A stacked image of RGB and flow: T `frames`, then a stack of L `flow_fields` around each of them."""

    frames: int
    flow_fields: int

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of an RGB frame and of a stack of flow."""
        return 3, 2 * self.flow_fields


def split_frames(images: Tensor, frames: int, channels: Sequence[int]) -> list[Tensor]:
    """The frames of each modality in stacked images: (B, sum of T * C, H, W) -> (B, T, C, H, W) each.

    `channels` are the numbers C of each modality; the order is that of `stp.sampling.frames.FrameSampler`.
    """
    parts = images.split([frames * number for number in channels], 1)
    return [part.unflatten(1, (frames, number)) for part, number in zip(parts, channels, strict=True)]


def subtract_mean_flow(images: Tensor) -> Tensor:
    """Flow fields (B, 2 L, H, W) of 0..255 without their mean vectors, which are the motion of the camera."""
    return images - images.mean((2, 3), keepdim=True) + NO_MOTION
