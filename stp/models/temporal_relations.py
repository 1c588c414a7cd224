"""Multi-scale temporal relations between the frames of a video (Zhou, Andonian, Oliva and Torralba, ECCV 2018)."""

from itertools import combinations
from math import comb

import torch
from torch import Tensor, nn

from stp.models.segment_network import SegmentNetwork, initialise_classifier

BOTTLENECK = 256  # units between a relation's frames and its scores


def chosen_relations(images: int, scale: int, most: int, at_random: bool) -> list[tuple[int, ...]]:
    """At most `most` of the relations of `scale` of the images 0, 1, ..., each in the order of time.

    They are drawn by torch's generator without repetition, or lie evenly in the list of all, in lexical order: always
    the same ones.
    """
    number = comb(images, scale)
    most = min(most, number)
    places = (
        torch.randperm(number)[:most].tolist()
        if at_random
        else [(2 * i + 1) * number // (2 * most) for i in range(most)]
    )
    relations = list(combinations(range(images), scale))
    return [relations[place] for place in places]


class TemporalRelationNetwork(SegmentNetwork):
    """Backbone on every image of a video, dropout, narrower features, and the sum of the scores of relations of images.

    There are relations of all `images`, of all but one, and so on down to 2. A relation's scores are those of its
    images' features in order, through a network of two layers that all relations of as many images share. Of each
    number of images, at most `subsample` relations are summed: in training drawn for each step, in scoring fixed.
    """

    def __init__(
        self, backbone: nn.Module, images: int, classes: int, dropout: float, width: int = 256, subsample: int = 3
    ) -> None:
        super().__init__(backbone, dropout)
        self.images, self.subsample = images, subsample
        self.reduced = initialise_classifier(nn.Linear(self.num_features, width))
        self.scales = range(images, 1, -1)
        self.relations = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(scale * width, BOTTLENECK), nn.ReLU(), nn.Linear(BOTTLENECK, classes))
            for scale in self.scales
        )

    def scores(self, features: Tensor) -> Tensor:
        """Image features (..., K, D) -> video scores (..., classes)."""
        narrow = self.reduced(features)
        scores = []
        for scale, relation in zip(self.scales, self.relations, strict=True):
            chosen = chosen_relations(self.images, scale, self.subsample, self.training)
            scores += [relation(narrow[..., list(frames), :].flatten(-2)) for frames in chosen]
        return torch.stack(scores).sum(0)
