"""Temporal attention over the postures of a video, which two towers see: TAN (Shi et al., ICME 2018), our reading."""

import math

import torch
from torch import Tensor, nn

from stp.models.backbones import Backbone
from stp.models.micro_batches import micro_batch_features
from stp.models.segment_network import SegmentNetwork, initialise_classifier


class PostureBackbone(nn.Module):
    """Features of both towers side by side: a frame and its flow (B, 3 + 2 L, H, W), 0..255 -> (B, num_features)."""

    def __init__(self, appearance: Backbone, motion: Backbone, flow_fields: int) -> None:
        super().__init__()
        self.appearance, self.motion = appearance, motion
        self.channels = [3, 2 * flow_fields]
        self.widths = [appearance.num_features, motion.num_features]
        self.num_features = sum(self.widths)

    def forward(self, images: Tensor) -> Tensor:
        frames, flow = images.split(self.channels, 1)
        return torch.cat([self.appearance(frames), self.motion(flow)], 1)

    def in_pieces(self, images: Tensor, size: int) -> Tensor:
        """The same features, with the towers' maps of at most `size` images in memory at once."""
        frames, flow = images.split(self.channels, 1)
        parts = ((self.appearance, frames), (self.motion, flow))
        return torch.cat([micro_batch_features(tower, seen, size) for tower, seen in parts], 1)


class TemporalAttention(nn.Module):
    """The weights of a video's K postures, which sum to 1: (..., K, width) -> (..., K).

    An LSTM reads the postures in the order of time. A posture counts by the product of its values with a linear map of
    the LSTM's last state, so that equal postures count equally, wherever they stand.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.query = nn.Linear(hidden, width)

    def forward(self, postures: Tensor) -> Tensor:
        videos = postures.flatten(0, -3)  # (B, K, width)
        states, _ = self.lstm(videos)
        products = (videos * self.query(states[:, -1:])).sum(-1) / math.sqrt(videos.shape[-1])
        return products.softmax(-1).unflatten(0, postures.shape[:-2])


class TemporalAttentiveNetwork(SegmentNetwork):
    """A shared layer on both towers' features of each posture, attention over the postures, and one classifier.

    Each tower has a classifier of its own besides, the mean over the postures, for its loss alone. `width` is that of
    the shared layer, and `hidden` that of the LSTM's state.
    """

    backbone: PostureBackbone

    def __init__(self, backbone: PostureBackbone, classes: int, dropout: float, width: int, hidden: int) -> None:
        super().__init__(backbone, dropout)
        self.shared = nn.Linear(backbone.num_features, width)
        self.attention = TemporalAttention(width, hidden)
        self.classifier = initialise_classifier(nn.Linear(width, classes))
        self.appearance, self.motion = (
            initialise_classifier(nn.Linear(features, classes)) for features in backbone.widths
        )

    def scores(self, features: Tensor) -> Tensor:
        """Features of postures (..., K, D) -> scores of the video (..., classes)."""
        postures = self.shared(features).relu()
        weights = self.attention(postures)
        scores: Tensor = self.classifier((weights[..., None] * postures).sum(-2))
        return scores

    def heads(self, features: Tensor) -> tuple[Tensor, ...]:
        """Scores (..., classes) of the video, and of each tower by its mean features."""
        appearance, motion = features.mean(-2).split(self.backbone.widths, -1)
        return self.scores(features), self.appearance(appearance), self.motion(motion)

    def features_in_pieces(self, images: Tensor, size: int) -> Tensor:
        """As both towers in pieces; see `SegmentNetwork.features_in_pieces`."""
        return self.backbone.in_pieces(images, size)
