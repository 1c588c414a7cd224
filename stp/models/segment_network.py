"""Networks that score segments: a backbone on every image, dropout, and scores of the K images of a segment."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stp.models.backbones import Backbone
from stp.models.feature_network import features_of
from stp.models.micro_batches import micro_batch_features
from stp.sampling.batch_rendering import Normalisation


class SegmentNetwork(nn.Module, ABC):
    """(B, N, K, C, H, W) float of 0..255 -> (B, N, classes) scores before softmax; a video's score is their mean.

    In bfloat16 images have gone through `normalisation` already.

    `backbone` turns images (B, C, H, W) into features (B, num_features). A network of this kind adds its layers and
    `scores`.
    """

    def __init__(self, backbone: nn.Module, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_features = features_of(backbone)
        self.dropout = nn.Dropout(dropout)

    @property
    def normalisation(self) -> Normalisation | None:
        """The normalisation that images may have gone through, in bfloat16; None if they must be of 0..255.

        That is where a backbone sees whole images itself: others take them apart, or take their means away.
        """
        return self.backbone.normalisation if type(self.backbone) is Backbone else None

    @abstractmethod
    def scores(self, features: Tensor) -> Tensor:
        """Sub-segment features (..., K, D) -> segment scores (..., classes)."""

    def heads(self, features: Tensor) -> tuple[Tensor, ...]:
        """Segment scores (..., classes) of each classifier that has a loss in training: one, unless there are several.

        The losses are added up.
        """
        return (self.scores(features),)

    def fast_layers(self) -> Sequence[nn.Module]:
        """Layers that learn five times as fast as the others."""
        return ()

    def features_in_pieces(self, images: Tensor, size: int) -> Tensor:
        """The backbone's features of images (B, C, H, W), with the maps of at most `size` images in memory at once."""
        return micro_batch_features(self.backbone, images, size)

    def features(self, images: Tensor, videos_at_once: int = 0) -> Tensor:
        """Sub-segment features (B, N, K, D), after dropout; at most `videos_at_once` videos in memory, unless 0."""
        flat = images.flatten(0, 2)
        if 0 < videos_at_once < len(images):
            features = self.features_in_pieces(flat, videos_at_once * images.shape[1:3].numel())
        else:
            features = self.backbone(flat)
        dropped: Tensor = self.dropout(features).unflatten(0, images.shape[:3])
        return dropped

    def forward(self, images: Tensor, videos_at_once: int = 0) -> Tensor:
        return self.scores(self.features(images, videos_at_once))

    def segment_scores(self, features: Tensor, places: Tensor) -> Tensor:
        """Scores of segments that share sub-segments.

        Args:
            features: of the distinct sub-segments, (..., n, D) float32.
            places: (segments, K) int64, the K of the n that make up each segment.

        Returns:
            (..., segments, classes) float64.
        """
        return self.scores(features[..., places, :]).double()


def log_mean_softmax(scores: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of several heads' probabilities, from their scores (..., classes)."""
    probabilities = torch.stack([part.log_softmax(-1) for part in scores])
    return probabilities.logsumexp(0) - math.log(len(scores))


def initialise_classifier(classifier: nn.Linear) -> nn.Linear:
    """TSN's initial weights of a classifier: normal with deviation 0.001, biases zero."""
    with torch.no_grad():
        nn.init.normal_(classifier.weight, 0, 0.001)
        nn.init.zeros_(classifier.bias)
    return classifier
