"""The segment-level temporal pyramid above a backbone (paper section 3)."""

import torch
from torch import Tensor, nn

from stp.models.segment_network import SegmentNetwork, initialise_classifier


def pyramid_features(features: Tensor, parts: tuple[int, ...]) -> Tensor:
    """Sub-segment features (..., K, D) -> segment features (..., sum(parts) * D), paper equation 2.

    Level l holds the mean features of each of its parts[l] parts.

    Raises:
        ValueError: K is not a multiple of every number of parts.
    """
    subsegments, channels = features.shape[-2:]
    if any(subsegments % part for part in parts):
        raise ValueError(f"{subsegments} sub-segments cannot be divided into {max(parts)} parts: give a multiple of it")
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


class TemporalPyramidNetwork(SegmentNetwork):
    """Backbone on every sub-segment, dropout, pyramid, one linear classifier a segment (paper equation 1).

    `parts` are the numbers of parts of the pyramid's levels: (1, 2, 4) for 3 levels, (1,) for a plain mean.
    """

    def __init__(self, backbone: nn.Module, parts: tuple[int, ...], classes: int, dropout: float) -> None:
        super().__init__(backbone, dropout)
        self.parts = parts
        self.classifier = initialise_classifier(nn.Linear(self.num_features * sum(parts), classes))

    def scores(self, features: Tensor) -> Tensor:
        """Sub-segment features (..., K, D) -> segment scores (..., classes).

        Raises:
            ValueError: K cannot be divided into the parts, or D is not the backbone's `num_features`.
        """
        if features.shape[-1] != self.num_features:
            raise ValueError(
                f"the backbone gives {features.shape[-1]} values for an image, but its num_features are "
                f"{self.num_features}: remove its classifier, as num_classes=0 does in timm"
            )
        scores: Tensor = self.classifier(pyramid_features(features, self.parts))
        return scores

    def segment_scores(self, features: Tensor, places: Tensor) -> Tensor:
        """As the plain definition, by the classifier's linear map of each sub-segment.

        The sums are too short for double precision to cost anything, and on GPUs it avoids the tensor cores' 10-bit
        products.
        """
        subsegments = places.shape[1]
        maps = subsegment_maps(self.classifier.weight.double(), subsegments, self.parts)  # (K, classes, D)
        shares = torch.einsum("...nd,kcd->...nkc", features.double(), maps)
        order = torch.arange(subsegments, device=places.device)
        return shares[..., places, order, :].sum(-2) + self.classifier.bias.double()


def pyramid_network(backbone: nn.Module, classes: int, levels: int = 3, dropout: float = 0.5) -> TemporalPyramidNetwork:
    """A pyramid of 1, 2, 4, ... parts above a backbone of your own, for a training loop of your own.

    The network turns segments (B, N, K, C, H, W) into scores before softmax (B, N, classes); the number of sub-segments
    K must be a multiple of 2 ** (levels - 1). Images are in the backbone's own format.

    Args:
        backbone: a network (B, C, H, W) -> (B, num_features) with this attribute, as `timm.create_model(NAME,
            num_classes=0)` makes it, or as of `stp.models.backbones.build_backbone`, which takes images of 0..255.
        classes: the number of classes.
        levels: T, the number of levels; 1 is a plain mean over the sub-segments.
        dropout: the share of the backbone's features that is dropped in training.

    Raises:
        ValueError: the backbone has no `num_features`, or there is no level.
    """
    if levels < 1:
        raise ValueError(f"levels must be at least 1, not {levels}")
    return TemporalPyramidNetwork(backbone, tuple(2**level for level in range(levels)), classes, dropout)
