"""The temporal shift module (Lin, Gan and Han, ICCV 2019) in torchvision's ResNets and in the small network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stp.errors import UserError
from stp.models.backbones import Backbone
from stp.models.convnet import ConvNet
from stp.models.segment_network import SegmentNetwork, initialise_classifier
from stp.models.stacks import split_frames

DEEP = 23  # blocks of the third stage from which on only every second block shifts, as published


def temporal_shift(maps: Tensor, frames: int, division: int) -> Tensor:
    """Maps of the frames of videos, (B * frames, C, H, W) -> the same shape, with some channels of the frames beside.

    The first C // division channels are those of the next frame, as many after them those of the frame before, and
    all others stay. Where there is no such frame they are 0.
    """
    videos = maps.unflatten(0, (-1, frames))
    moved = maps.shape[1] // division
    next_ones = F.pad(videos[:, 1:, :moved], (0, 0, 0, 0, 0, 0, 0, 1))
    earlier_ones = F.pad(videos[:, :-1, moved : 2 * moved], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([next_ones, earlier_ones, videos[:, :, 2 * moved :]], 2).flatten(0, 1)


class TemporalShift(nn.Module):
    """`temporal_shift` as a module."""

    def __init__(self, frames: int, division: int) -> None:
        super().__init__()
        self.frames, self.division = frames, division

    def forward(self, maps: Tensor) -> Tensor:
        return temporal_shift(maps, self.frames, self.division)


class AsVolume(nn.Module):
    """Maps of the frames of videos as volumes, for explanations: (B * frames, C, h, w) -> (B, C, frames, h, w)."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, maps: Tensor) -> Tensor:
        return maps.unflatten(0, (-1, self.frames)).transpose(1, 2)


class AsFrames(nn.Module):
    """Volumes as maps of their frames: (B, C, frames, h, w) -> (B * frames, C, h, w)."""

    def forward(self, volumes: Tensor) -> Tensor:
        return volumes.transpose(1, 2).flatten(0, 1)


def insert_shifts(network: nn.Module, frames: int, division: int) -> bool:
    """Put temporal shifts into a network for the frames of videos; False if it is of a kind that has no place for them.

    In a ResNet of torchvision, the residual branch of a block begins with a shift. The small `ConvNet` has no such
    branches: every convolution but the first begins with one, which the publication calls in place.
    """
    volume = nn.Sequential(AsVolume(frames), AsFrames())
    if isinstance(network, ConvNet):
        convolutions = [name for name, layer in network.layers.named_children() if isinstance(layer, nn.Conv2d)]
        shifted = [(network.layers, name) for name in convolutions[1:]]
        network.layers.append(volume)
    else:
        from torchvision.models import ResNet  # type: ignore[import-untyped]  # here: the small network needs no torchvision

        if not isinstance(network, ResNet):
            return False
        every = 2 if len(network.layer3) >= DEEP else 1
        stages = (network.layer1, network.layer2, network.layer3, network.layer4)
        shifted = [(block, "conv1") for stage in stages for block in list(stage)[::every]]
        network.avgpool = nn.Sequential(volume, network.avgpool)
    for parent, name in shifted:
        parent.set_submodule(name, nn.Sequential(TemporalShift(frames, division), parent.get_submodule(name)))
    return True


class ShiftedFrames(nn.Module):
    """A backbone with temporal shifts that sees the frames of a video: (B, frames * C, H, W) -> (B, frames * D).

    Raises:
        UserError: the backbone `name` is neither a ResNet of torchvision nor the small network.
    """

    def __init__(self, backbone: Backbone, name: str, channels: int, frames: int, division: int) -> None:
        super().__init__()
        if not insert_shifts(backbone.network, frames, division):
            raise UserError(
                f"model.backbone: '{name}' has no place for tsm's shifts; use a ResNet of torchvision, such as "
                "torchvision/resnet50, or the small convnet"
            )
        self.backbone, self.frames, self.channels = backbone, frames, channels
        self.num_features = backbone.num_features * frames

    def forward(self, images: Tensor) -> Tensor:
        (frames,) = split_frames(images, self.frames, (self.channels,))
        features: Tensor = self.backbone(frames.flatten(0, 1))
        return features.unflatten(0, (-1, self.frames)).flatten(1)


class TemporalShiftNetwork(SegmentNetwork):
    """A backbone with temporal shifts, dropout of the frames' features, their mean, one linear classifier.

    The classifier learns five times as fast as the backbone, its bias ten times, as published.
    """

    def __init__(self, backbone: ShiftedFrames, classes: int, dropout: float) -> None:
        super().__init__(backbone, dropout)
        self.frames = backbone.frames
        self.classifier = initialise_classifier(nn.Linear(self.num_features // self.frames, classes))

    def fast_layers(self) -> list[nn.Module]:
        """See `SegmentNetwork`."""
        return [self.classifier]

    def scores(self, features: Tensor) -> Tensor:
        """Features of a video's frames (..., 1, frames * D) -> video scores (..., classes).

        The classifier is linear, so that it may as well see the mean of the frames' features.
        """
        means = features.squeeze(-2).unflatten(-1, (self.frames, -1)).mean(-2)
        scores: Tensor = self.classifier(means)
        return scores
