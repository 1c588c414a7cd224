"""A network without its classifier, with its input format and the source of its weights."""

from typing import NamedTuple

from torch import nn

from stp.models.state_dicts import LoadedWeights


class InputFormat(NamedTuple):
    """A network's input: (value - mean) / std of values 0..255, in the order R, G, B, or B, G, R with `bgr`.

    `mean` and `std` are given as R, G, B.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    @classmethod
    def of_unit_range(cls, mean: tuple[float, ...], std: tuple[float, ...]) -> "InputFormat":
        """The format for a mean and standard deviation of values 0..1, as timm and torchvision give them."""
        (r, g, b), (sr, sg, sb) = mean, std
        return cls((255 * r, 255 * g, 255 * b), (255 * sr, 255 * sg, 255 * sb))


class FeatureNetwork(NamedTuple):
    """A network (B, 3, H, W) float in its input format -> (B, num_features) float, and the source of its weights."""

    network: nn.Module
    num_features: int
    input_format: InputFormat
    loaded: LoadedWeights | None = None


def features_of(backbone: nn.Module) -> int:
    """The number of features that a backbone gives; some of timm's have a wider layer before the classifier.

    Raises:
        ValueError: the backbone does not say it.
    """
    features = getattr(backbone, "head_hidden_size", None) or getattr(backbone, "num_features", None)
    if not isinstance(features, int):
        raise ValueError(
            f"{type(backbone).__name__} does not say how many features it gives: set its num_features, and remove its "
            "classifier"
        )
    return features
