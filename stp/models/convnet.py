"""A small convolutional network for the demo data and for tests: a few layers that train in seconds on a CPU."""

from torch import Tensor, nn

# fmt: off
LAYERS = (     # channels, stride
    (16, 2),
    (16, 1),
    (32, 2),
    (32, 1),
    (64, 2),
    (64, 1),
)
# fmt: on


class ConvNet(nn.Module):
    """3x3 convolutions with batch norm and ReLU, then the mean: (B, in_channels, H, W) -> (B, 64 x width)."""

    def __init__(self, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, stride in LAYERS:
            outputs = max(1, round(channels * width))
            layers += [nn.Conv2d(in_channels, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            in_channels = outputs
        self.layers = nn.Sequential(*layers)
        self.num_features = in_channels

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x).mean((2, 3))
        return features
