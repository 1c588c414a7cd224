"""A small convolutional network for the demo data and for tests: four layers that train in seconds on a CPU."""

from torch import Tensor, nn

# fmt: off
LAYERS = (    # channels, kernel; every layer halves the image
    (16, 5),
    (32, 3),
    (64, 3),
    (96, 3),
)
# fmt: on


class ConvNet(nn.Module):
    """Convolutions with batch norm and ReLU, then the mean: (B, in_channels, H, W) float -> (B, 96 x width) float."""

    def __init__(self, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, kernel in LAYERS:
            outputs = max(1, round(channels * width))
            convolution = nn.Conv2d(in_channels, outputs, kernel, 2, kernel // 2)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            in_channels = outputs
        self.layers = nn.Sequential(*layers)
        self.num_features = in_channels

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x).mean((2, 3))
        return features
