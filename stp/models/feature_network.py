"""A network without its classifier, and what one must know to use it."""

from typing import NamedTuple

from torch import nn

from stp.models.state_dicts import LoadedWeights


class InputFormat(NamedTuple):
    """What a network expects: (value - mean) / std of 0..255 values, given as R, G, B, then the order of channels."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    @classmethod
    def of_unit_range(cls, mean: tuple[float, ...], std: tuple[float, ...]) -> "InputFormat":
        """From mean and standard deviation of values of 0..1, as timm and torchvision give them."""
        (r, g, b), (sr, sg, sb) = mean, std
        return cls((255 * r, 255 * g, 255 * b), (255 * sr, 255 * sg, 255 * sb))


class FeatureNetwork(NamedTuple):
    """(B, 3, H, W) float in its input format -> (B, num_features) float, and the file that its weights came from."""

    network: nn.Module
    num_features: int
    input_format: InputFormat
    loaded: LoadedWeights | None = None
