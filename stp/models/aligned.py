"""The temporal pyramid without alignment: it slides over a longer segment and finds the phase of the action itself."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stp.models.pyramid import TemporalPyramidNetwork


def smooth_maximum(values: Tensor, log_shares: Tensor, temperature: float) -> Tensor:
    """The soft maximum t log(sum of p exp(value / t)) over the last dimension: (..., n) -> (...).

    The shares p, whose logarithms are `log_shares` (n,), sum to 1. A temperature t towards 0 gives the largest value,
    and a high one the mean that the shares weigh. The result lies between them, and one value alone is returned as is.
    """
    top = values.amax(-1, keepdim=True).detach()
    return top.squeeze(-1) + temperature * ((values - top) / temperature + log_shares).logsumexp(-1)


@dataclass(frozen=True)
class Phase:
    """How the scores of the offsets become one: `subsegments` of a pyramid, their extra ones, and the smooth maximum.

    With a `learned` prior, the network learns the share of each offset; otherwise all offsets are alike.
    """

    subsegments: int
    extra: int
    temperature: float
    learned: bool

    @property
    def offsets(self) -> int:
        """The number of places of the pyramid in a segment."""
        return self.extra + 1


class AlignedPyramidNetwork(TemporalPyramidNetwork):
    """The pyramid and its classifier at every offset of K sub-segments in a segment of K + m, then a smooth maximum.

    Images are (B, N, K + m, C, H, W). With temperature 1 a class's score is the logarithm of its evidence when the
    phase of the action, that is, the offset, is a hidden variable.
    """

    def __init__(self, backbone: nn.Module, parts: tuple[int, ...], classes: int, dropout: float, phase: Phase) -> None:
        super().__init__(backbone, parts, classes, dropout)
        self.phase = phase
        self.prior = nn.Parameter(torch.zeros(phase.offsets), requires_grad=phase.learned)  # before softmax

    def _combined(self, scores: Tensor) -> Tensor:
        """Scores of the offsets (..., m + 1, classes) -> scores (..., classes)."""
        log_shares = self.prior.to(scores.dtype).log_softmax(0)
        return smooth_maximum(scores.transpose(-1, -2), log_shares, self.phase.temperature)

    def scores(self, features: Tensor) -> Tensor:
        """Sub-segment features (..., K + m, D) -> segment scores (..., classes)."""
        windows = features.unfold(-2, self.phase.subsegments, 1).transpose(-1, -2)  # (..., m + 1, K, D)
        return self._combined(super().scores(windows))

    def segment_scores(self, features: Tensor, places: Tensor) -> Tensor:
        """As the plain definition; see `TemporalPyramidNetwork.segment_scores`."""
        windows = places.unfold(1, self.phase.subsegments, 1)  # (segments, m + 1, K)
        scores = super().segment_scores(features, windows.flatten(0, 1))
        return self._combined(scores.unflatten(-2, windows.shape[:2]))
