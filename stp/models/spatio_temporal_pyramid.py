"""A spatio-temporal pyramid on the last map of a video network: bins of time, height and width, joined."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from stp.models.c3d import C3D
from stp.models.video_backbones import VideoBackbone

Pooling = Literal["max", "mean"]


def pooled_bins(volume: Tensor, parts: int, pooling: Pooling) -> Tensor:
    """The maximum or mean of each of `parts` divisions of the last three axes: (..., t, h, w) -> (..., parts ** 3).

    Division i of an axis of n cells has the cells floor(i n / parts) up to, not including, ceil((i + 1) n / parts): it
    shares cells with its neighbours where n cannot be divided, and repeats them where n is less than `parts`. Bins are
    in the order of time, height, width.
    """
    for axis in (-3, -2, -1):
        cells = volume.shape[axis]
        edges = [(i * cells // parts, -(-(i + 1) * cells // parts)) for i in range(parts)]
        pieces = [volume.narrow(axis, first, last - first) for first, last in edges]
        reduce = torch.amax if pooling == "max" else torch.mean
        volume = torch.stack([reduce(piece, axis) for piece in pieces], axis)
    return volume.flatten(-3)


class SpatioTemporalPyramid(nn.Module):
    """The bins of all levels of a video network's last map: (B, T * C, H, W) float 0..255 -> (B, num_features).

    A level of n parts has n bins of time by n by n of space. The features are D values for each bin, level after
    level, for a map of D channels.

    Raises:
        UserError: the network has no last map.
    """

    def __init__(self, backbone: VideoBackbone, levels: Sequence[int], pooling: Pooling) -> None:
        super().__init__()
        self.backbone, self.levels, self.pooling = backbone, tuple(levels), pooling
        if isinstance(backbone.network, C3D):  # its last map comes before its linear layers
            del backbone.network.fc6, backbone.network.fc7
        self.num_features = backbone.map_channels * sum(parts**3 for parts in self.levels)

    def forward(self, images: Tensor) -> Tensor:
        volume = self.backbone.last_map(images)
        bins = [pooled_bins(volume, parts, self.pooling) for parts in self.levels]
        return torch.cat(bins, -1).transpose(1, 2).flatten(1)
