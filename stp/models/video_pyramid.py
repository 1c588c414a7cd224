"""A temporal pyramid with max pooling over the frames of a whole video, for one stream (DTPP) or two (TPP)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stp.models.micro_batches import micro_batch_features
from stp.models.segment_network import SegmentNetwork, initialise_classifier


def max_pyramid(features: Tensor, levels: Sequence[int]) -> Tensor:
    """Features of K images in order (..., K, D) -> features of the video (..., sum(levels) * D).

    Level l holds the maxima over each of its levels[l] parts. Where K is not a multiple of a level, its first parts
    have one image more than the others: 25 images are 7 + 6 + 6 + 6.
    """
    parts = [part.amax(-2) for level in levels for part in features.tensor_split(level, -2)]
    return torch.cat(parts, -1)


class VideoPyramidNetwork(SegmentNetwork):
    """Backbone on every image of a video, max pyramid, dropout, one linear classifier.

    `levels` are the numbers of parts of the pyramid's levels. Dropout is applied after the pyramid, as in DTPP: before
    it, the maxima would be those of the images that were not dropped.
    """

    def __init__(self, backbone: nn.Module, levels: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__(backbone, dropout=0)
        self.levels = tuple(levels)
        self.pyramid_dropout = nn.Dropout(dropout)
        self.classifier = initialise_classifier(nn.Linear(self.num_features * sum(levels), classes))

    def scores(self, features: Tensor) -> Tensor:
        """Image features (..., K, D) -> video scores (..., classes)."""
        scores: Tensor = self.classifier(self.pyramid_dropout(max_pyramid(features, self.levels)))
        return scores


class JoinedEncodings(nn.Module):
    """A backbone and an encoding layer for each modality: images (B, sum of channels, H, W) -> (B, modalities * width).

    An image holds `channels` channels of each modality in turn. An encoding layer is fully connected, followed by ReLU.
    """

    def __init__(self, backbones: Sequence[nn.Module], channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.channels = list(channels)
        self.encodings = nn.ModuleList(
            nn.Sequential(nn.Linear(int(backbone.num_features), width), nn.ReLU())  # type: ignore[arg-type]
            for backbone in backbones
        )
        self.num_features = len(backbones) * width

    def forward(self, images: Tensor) -> Tensor:
        return self._encoded(images, lambda backbone, part: backbone(part))

    def in_pieces(self, images: Tensor, size: int) -> Tensor:
        """The same features, with the maps of at most `size` images in memory at once."""
        return self._encoded(images, lambda backbone, part: micro_batch_features(backbone, part, size))

    def _encoded(self, images: Tensor, features: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        streams = zip(self.encodings, self.backbones, images.split(self.channels, 1), strict=True)
        return torch.cat([encoding(features(backbone, part)) for encoding, backbone, part in streams], 1)


class JoinedPyramidNetwork(VideoPyramidNetwork):
    """The pyramid network for images of several modalities."""

    backbone: JoinedEncodings

    def features_in_pieces(self, images: Tensor, size: int) -> Tensor:
        """See `SegmentNetwork`; the first batch norm of each backbone may learn."""
        return self.backbone.in_pieces(images, size)
