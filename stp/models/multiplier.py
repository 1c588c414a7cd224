"""Spatiotemporal multiplier network (Feichtenhofer, Pinz and Wildes, CVPR 2017): motion gates appearance in ResNets."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stp.errors import UserError
from stp.models.backbones import Backbone
from stp.models.micro_batches import learning_norms
from stp.models.segment_network import SegmentNetwork, initialise_classifier, log_mean_softmax
from stp.models.stacks import Layout, split_frames, subtract_mean_flow


class Gate(nn.Module):
    """Appearance times motion, element by element: two tensors (B * T, C, h, w) -> (B * T, C, h, w)."""

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        return appearance * motion


class TemporalConvolution(nn.Conv3d):
    """A convolution over 3 frames of each place, from C maps to C: (B * T, C, h, w) -> the same shape.

    At the start it is the identity. Frames before the first and after the last are zero.
    """

    def __init__(self, maps: int, frames: int) -> None:
        super().__init__(maps, maps, (3, 1, 1), padding=(1, 0, 0))
        self.frames = frames
        with torch.no_grad():
            nn.init.zeros_(self.weight)
            self.weight[:, :, 1, 0, 0] = torch.eye(maps)
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        volumes = input.unflatten(0, (-1, self.frames)).transpose(1, 2)  # (B, C, T, h, w)
        return super().forward(volumes).transpose(1, 2).flatten(0, 1)


class Tower(nn.Module):
    """A torchvision ResNet as one tower: its stem, and its stages with a temporal convolution in each second unit."""

    def __init__(self, backbone: Backbone, frames: int) -> None:
        from torchvision.models import ResNet  # type: ignore[import-untyped]

        super().__init__()
        self.backbone = backbone
        network: Any = backbone.network
        if not isinstance(network, ResNet):
            raise UserError(
                "model.backbone: the multiplier network needs a ResNet of torchvision, as torchvision/resnet50 or "
                f"torchvision/resnet18, not a {type(network).__name__}"
            )
        self.stages: list[list[Any]] = [
            list(stage) for stage in (network.layer1, network.layer2, network.layer3, network.layer4)
        ]
        # Basic blocks have one ReLU within, behind conv1; bottlenecks have two, the second behind the 3x3 convolution.
        self.temporal = nn.ModuleList(
            TemporalConvolution((units[1].conv2 if hasattr(units[1], "conv3") else units[1].conv1).out_channels, frames)
            for units in self.stages
        )
        self.num_features = backbone.num_features

    def first_norm(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) of 0..255 up to the first batch norm."""
        network: Any = self.backbone.network
        normed: Tensor = network.bn1(network.conv1(self.backbone.normalised(images)))
        return normed

    def stem(self, normed: Tensor) -> Tensor:
        """The rest of the stem."""
        network: Any = self.backbone.network
        pooled: Tensor = network.maxpool(normed.relu())
        return pooled


def _branch(unit: Any, x: Tensor, temporal: nn.Module | None = None) -> Tensor:
    """The residual branch of a unit of a ResNet, with a temporal convolution behind its last ReLU."""
    x = unit.bn1(unit.conv1(x)).relu()
    if hasattr(unit, "conv3"):
        x = unit.bn2(unit.conv2(x)).relu()
    x = x if temporal is None else temporal(x)
    output: Tensor = unit.bn3(unit.conv3(x)) if hasattr(unit, "conv3") else unit.bn2(unit.conv2(x))
    return output


def _sum(unit: Any, x: Tensor, branch: Tensor) -> Tensor:
    """A unit's residual branch and its shortcut from `x`, before the ReLU."""
    total: Tensor = branch + (x if unit.downsample is None else unit.downsample(x))
    return total


class MultiplierBackbone(nn.Module):
    """Two ResNets, of which motion gates appearance once a stage: (B, T * (3 + 2 L), H, W) -> (B, num_features).

    In every stage, the residual branch of the second unit of the appearance tower gets the sum that leaves its first
    unit, before the ReLU, times the rectified one of the motion tower. Its shortcut stays as it is. The features are
    the maxima over the frames, averaged over the places: appearance, then motion. With `subtract_mean`, flow fields
    lose their mean.
    """

    def __init__(self, towers: Sequence[Backbone], layout: Layout, subtract_mean: bool) -> None:
        super().__init__()
        self.layout, self.subtract_mean = layout, subtract_mean
        self.appearance, self.motion = (Tower(tower, layout.frames) for tower in towers)
        self.gates = nn.ModuleList(Gate() for _ in self.appearance.stages)
        self.widths = [self.appearance.num_features, self.motion.num_features]
        self.num_features = sum(self.widths)

    def forward(self, images: Tensor) -> Tensor:
        return self._behind(*self._first_norms(images))

    def in_pieces(self, images: Tensor, size: int) -> Tensor:
        """The same features, with the maps of at most `size` images in memory at once behind the first batch norms.

        Raises:
            UserError: several batch norms of a tower use batch statistics.
        """
        for tower in (self.appearance, self.motion):
            learning_norms(tower)
        pieces = zip(*(part.split(size * self.layout.frames) for part in self._first_norms(images)), strict=True)
        return torch.cat([checkpoint(self._behind, *piece, use_reentrant=False) for piece in pieces])

    def _first_norms(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Both towers up to their first batch norms, (B * T, C, h, w)."""
        rgb, flow = (part.flatten(0, 1) for part in split_frames(images, self.layout.frames, self.layout.channels))
        flow = subtract_mean_flow(flow) if self.subtract_mean else flow
        return self.appearance.first_norm(rgb), self.motion.first_norm(flow)

    def _behind(self, appearance: Tensor, motion: Tensor) -> Tensor:
        """Features (B, num_features) from the outputs of the first batch norms."""
        a, m = self.appearance.stem(appearance), self.motion.stem(motion)
        for gate, a_units, m_units, a_temporal, m_temporal in zip(
            self.gates,
            self.appearance.stages,
            self.motion.stages,
            self.appearance.temporal,
            self.motion.temporal,
            strict=True,
        ):
            first = _sum(a_units[0], a, _branch(a_units[0], a))
            m = _sum(m_units[0], m, _branch(m_units[0], m)).relu()
            a = first.relu()
            a = _sum(a_units[1], a, _branch(a_units[1], gate(first, m), a_temporal)).relu()
            m = _sum(m_units[1], m, _branch(m_units[1], m, m_temporal)).relu()
            for unit in a_units[2:]:
                a = unit(a)
            for unit in m_units[2:]:
                m = unit(m)
        return torch.cat([maps.unflatten(0, (-1, self.layout.frames)).amax(1).mean((2, 3)) for maps in (a, m)], 1)


class MultiplierNetwork(SegmentNetwork):
    """A classifier behind each tower, whose probabilities are averaged."""

    backbone: MultiplierBackbone

    def __init__(self, backbone: MultiplierBackbone, classes: int, dropout: float) -> None:
        super().__init__(backbone, dropout)
        self.appearance, self.motion = (initialise_classifier(nn.Linear(width, classes)) for width in backbone.widths)

    def heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (..., classes) of appearance and of motion, of features (..., 1, D)."""
        appearance, motion = features.squeeze(-2).split(self.backbone.widths, -1)
        return self.appearance(appearance), self.motion(motion)

    def scores(self, features: Tensor) -> Tensor:
        """The logarithm of the mean probability of both: (..., 1, D) -> (..., classes)."""
        return log_mean_softmax(self.heads(features))

    def features_in_pieces(self, images: Tensor, size: int) -> Tensor:
        """As both towers in pieces; see `SegmentNetwork.features_in_pieces`."""
        return self.backbone.in_pieces(images, size)
