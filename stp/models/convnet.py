"""A small convolutional network for the demo data and for tests: four layers that train in seconds on a CPU."""

from torch import Tensor, nn
from torch.nn import functional as F

from stp.models.width import scaled

# fmt: off
LAYERS = (    # channels, kernel; every layer halves the image
    (16, 5),
    (32, 3),
    (64, 3),
    (96, 3),
)
# fmt: on


class MeansNorm(nn.BatchNorm2d):
    """A batch norm of the means of images, (B, C, 1, 1) -> the same shape; it also trains on a single image.

    A single image has no deviation, so that it is normed by the running statistics.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        normed: Tensor = super().forward(input)
        return normed


class ConvNet(nn.Module):
    """Convolutions with batch norm and ReLU, the mean, a batch norm: (B, in_channels, H, W) -> (B, 96 x width) float.

    Means of whole images differ little, and without the last batch norm a classifier sees hardly more than what they
    have in common: RGB networks of the demo then stay at chance.
    """

    def __init__(self, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, kernel in LAYERS:
            outputs = scaled(channels, width)
            convolution = nn.Conv2d(in_channels, outputs, kernel, 2, kernel // 2)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            in_channels = outputs
        self.layers = nn.Sequential(*layers)
        self.norm = MeansNorm(in_channels)
        self.num_features = in_channels

    def forward(self, x: Tensor) -> Tensor:
        means: Tensor = self.norm(self.layers(x).mean((2, 3), keepdim=True))
        return means.flatten(1)
