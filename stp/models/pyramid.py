"""The segment-level temporal pyramid above a backbone (paper section 3)."""

import torch
from torch import Tensor, nn

from stp.models.backbones import Backbone
from stp.models.micro_batches import micro_batch_features
from stp.sampling.segments import Variant


def pyramid_features(features: Tensor, parts: tuple[int, ...]) -> Tensor:
    """Sub-segment features (..., K, D) -> segment features (..., sum(parts) * D), paper equation 2.

    Level l holds the mean features of each of its parts[l] parts; K must be a multiple of every number of parts.
    """
    subsegments, channels = features.shape[-2:]
    levels = [
        features.unflatten(-2, (part, subsegments // part)).mean(-2).reshape(*features.shape[:-2], part * channels)
        for part in parts
    ]
    return torch.cat(levels, -1)


def subsegment_maps(weight: Tensor, subsegments: int, parts: tuple[int, ...]) -> Tensor:
    """The classifier over the pyramid as one linear map per sub-segment: (C, sum(parts) * D) -> (K, C, D).

    Parts are means and the classifier is linear, so a segment's scores are the sum over sub-segments k of V_k x_k
    with V_k = sum over levels l of W[l, part of k] / n_l, where n_l is the number of sub-segments in a part.
    """
    blocks = weight.unflatten(1, (sum(parts), -1))  # (C, parts of all levels, D)
    maps = weight.new_zeros(subsegments, weight.shape[0], blocks.shape[-1])
    first = 0
    for part in parts:
        length = subsegments // part
        for k in range(subsegments):
            maps[k] += blocks[:, first + k // length] / length
        first += part
    return maps


class TemporalPyramidNetwork(nn.Module):
    """Backbone on every sub-segment, dropout, pyramid, one linear classifier per segment (paper equation 1).

    (B, N, K, C, H, W) float of 0..255 -> (B, N, classes) scores before softmax; a video's score is their mean. With
    `videos_at_once` above 0, only the maps of that many of the B videos are held in memory at a time.
    """

    def __init__(self, backbone: Backbone, variant: Variant, classes: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.variant = variant
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(backbone.num_features * sum(variant.parts), classes)
        nn.init.normal_(self.classifier.weight, 0, 0.001)  # TSN
        nn.init.zeros_(self.classifier.bias)

    def scores(self, features: Tensor) -> Tensor:
        """Sub-segment features (..., K, D) -> segment scores (..., classes)."""
        scores: Tensor = self.classifier(pyramid_features(features, self.variant.parts))
        return scores

    def features(self, images: Tensor, videos_at_once: int = 0) -> Tensor:
        """Sub-segment features (B, N, K, D), after dropout."""
        flat = images.flatten(0, 2)
        if 0 < videos_at_once < len(images):
            features = micro_batch_features(self.backbone, flat, videos_at_once * images.shape[1:3].numel())
        else:
            features = self.backbone(flat)
        dropped: Tensor = self.dropout(features).unflatten(0, images.shape[:3])
        return dropped

    def forward(self, images: Tensor, videos_at_once: int = 0) -> Tensor:
        return self.scores(self.features(images, videos_at_once))
