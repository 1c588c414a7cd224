"""Two-stream fusion (Feichtenhofer, Pinz and Zisserman, CVPR 2016): towers joined after their last convolutions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stp.models.maps import Split
from stp.models.micro_batches import micro_batch_features
from stp.models.segment_network import SegmentNetwork, initialise_classifier, log_mean_softmax
from stp.models.stacks import Layout, split_frames

SHARES = (0.25, 0.75)  # of the towers in the fused maps at the start: appearance, motion


def gaussian_kernel(size: int = 3, sigma: float = 1.0) -> Tensor:
    """A Gaussian of `sigma` samples over a cube, which sums to 1: float32 (size, size, size)."""
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    line = torch.exp(-(places**2) / (2 * sigma**2))
    cube = line[:, None, None] * line[:, None] * line
    return (cube / cube.sum()).float()


class ConvolutionFusion(nn.Conv3d):
    """A 3x3x3 convolution that makes D maps of two towers' maps: (B, 2 D, T, h, w) -> (B, D, T, h, w).

    At the start, a fused map is the sum of the towers' maps of its number, smoothed and weighed by SHARES.
    """

    def __init__(self, maps: int) -> None:
        super().__init__(2 * maps, maps, 3, padding=1)
        with torch.no_grad():
            shares = torch.cat([share * torch.eye(maps) for share in SHARES], 1)
            self.weight.copy_(shares[:, :, None, None, None] * gaussian_kernel())
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]


def pool_in_space_and_time(maps: Tensor) -> Tensor:
    """Max pooling over all frames, and 2x2 in space where a map has 2 places: (B, D, T, h, w) -> (B, D, h/2, w/2)."""
    space = 2 if min(maps.shape[-2:]) > 1 else 1
    return F.max_pool3d(maps, (maps.shape[2], space, space), (2, space, space)).squeeze(2)


class FusionBackbone(nn.Module):
    """Two towers, their fusion, and the layers before the classifiers: (B, T * (3 + 2 L), H, W) -> (B, num_features).

    The features are those of the fused maps and of the motion tower. Their losses do not reach the towers. With
    `learning`, the means of each tower's own maps follow, appearance first, by which the towers learn; without, the
    towers stay as they are, like networks in evaluation.
    """

    def __init__(self, appearance: Split, motion: Split, layout: Layout, learning: bool) -> None:
        super().__init__()
        self.layout, self.learning = layout, learning
        self.appearance, self.motion = appearance.maps, motion.maps
        self.fusion = ConvolutionFusion(appearance.num_maps)
        self.fusion_head, self.motion_head = appearance.head, motion.head
        self.widths = [appearance.num_features, motion.num_features]
        if learning:
            self.appearance_pooling, self.motion_pooling = appearance.pooling, motion.pooling
            self.widths += [appearance.num_maps, motion.num_maps]
        self.num_features = sum(self.widths)

    def train(self, mode: bool = True) -> "FusionBackbone":
        """Set training or evaluation; towers that do not learn stay in evaluation."""
        super().train(mode)
        if not self.learning:
            self.appearance.eval()
            self.motion.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self._features([self._maps(tower, frames) for tower, frames in self._towers(images)])

    def in_pieces(self, images: Tensor, size: int) -> Tensor:
        """The same features, with the towers' maps of at most `size` images in memory at once."""
        frames_at_once = size * self.layout.frames
        return self._features(
            [
                micro_batch_features(tower, frames, frames_at_once)
                if self.learning
                else torch.cat([self._maps(tower, part) for part in frames.split(frames_at_once)])
                for tower, frames in self._towers(images)
            ]
        )

    def _towers(self, images: Tensor) -> list[tuple[nn.Module, Tensor]]:
        """Each tower with what it sees, (B * T, C, H, W)."""
        rgb, flow = split_frames(images, self.layout.frames, self.layout.channels)
        return [(self.appearance, rgb.flatten(0, 1)), (self.motion, flow.flatten(0, 1))]

    def _maps(self, tower: nn.Module, frames: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.learning):
            maps: Tensor = tower(frames)
        return maps

    def _features(self, maps: Sequence[Tensor]) -> Tensor:
        """Features (B, num_features) of the towers' maps (B * T, D, h, w)."""
        frames = self.layout.frames
        # (B, D, T, h, w), where gradients stop
        volumes = [part.detach().unflatten(0, (-1, frames)).transpose(1, 2) for part in maps]
        fused = self.fusion(torch.cat(volumes, 1)).relu()
        features = [
            self.fusion_head(pool_in_space_and_time(fused)),
            self.motion_head(pool_in_space_and_time(volumes[1])),
        ]
        if self.learning:
            poolings = (self.appearance_pooling, self.motion_pooling)
            features += [
                pooling(part).unflatten(0, (-1, frames)).mean(1) for pooling, part in zip(poolings, maps, strict=True)
            ]
        return torch.cat(features, 1)


class TwoStreamFusion(SegmentNetwork):
    """Classifiers of the fused maps and of the motion tower, whose probabilities are averaged.

    `dropout` is the rate behind each of a VGG's fc6 and fc7, as in the authors' code, and before the classifiers of
    other networks. Where towers learn, each has a third and fourth classifier, the mean over the frames, for its loss
    alone.
    """

    backbone: FusionBackbone

    def __init__(self, backbone: FusionBackbone, classes: int, dropout: float) -> None:
        super().__init__(backbone, dropout)
        for head in (backbone.fusion_head, backbone.motion_head):
            for module in head.modules():
                if isinstance(module, nn.Dropout):
                    module.p = dropout
        self.classifiers = nn.ModuleList(initialise_classifier(nn.Linear(width, classes)) for width in backbone.widths)

    def heads(self, features: Tensor) -> tuple[Tensor, ...]:
        """Scores (..., classes) of features (..., 1, D): fusion, motion, and the towers where they learn."""
        parts = features.squeeze(-2).split(self.backbone.widths, -1)
        return tuple(classifier(part) for classifier, part in zip(self.classifiers, parts, strict=True))

    def scores(self, features: Tensor) -> Tensor:
        """The logarithm of the mean probability of fusion and motion: (..., 1, D) -> (..., classes)."""
        return log_mean_softmax(self.heads(features)[:2])

    def features_in_pieces(self, images: Tensor, size: int) -> Tensor:
        """As the towers' maps in pieces; see `SegmentNetwork.features_in_pieces`."""
        return self.backbone.in_pieces(images, size)
