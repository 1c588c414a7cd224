"""C3D (Tran et al., ICCV 2015): eight 3x3x3 convolutions and two linear layers, as in the authors' Caffe model."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stp.models.width import scaled

# fmt: off
LAYERS = (    # name, channels, frames that max pooling after it joins; it halves the image, too
    ("conv1a",  64, 1),
    ("conv2a", 128, 2),
    ("conv3a", 256, 0),
    ("conv3b", 256, 2),
    ("conv4a", 512, 0),
    ("conv4b", 512, 2),
    ("conv5a", 512, 0),
    ("conv5b", 512, 2),
)
# fmt: on
FC6_INPUTS = 512 * 1 * 4 * 4
HIDDEN = 4096
DROPOUT = 0.5


class C3D(nn.Module):
    """(B, in_channels, T, H, W) float -> fc7 after its ReLU, (B, 4096 x width).

    Pooling rounds sizes up, as Caffe's does: 112 -> 56 -> 28 -> 14 -> 7 -> 4. `width` multiplies all channels. The
    input of fc6 depends on `frames` and `size`, the T and H = W of the input.
    """

    def __init__(self, in_channels: int = 3, frames: int = 16, size: int = 112, width: float = 1.0) -> None:
        super().__init__()
        published = in_channels
        for name, channels, joined in LAYERS:
            outputs = scaled(channels, width)
            convolution = nn.Conv3d(in_channels, outputs, 3, padding=1)
            _initialise(convolution, 0.01, 27 * published, 0 if name == "conv1a" else 1)
            self.add_module(name, convolution)
            self.add_module(f"relu_{name}", nn.ReLU(inplace=True))  # modules, which explanations can guide
            in_channels, published = outputs, channels
            if joined:
                frames, size = -(-frames // joined), -(-size // 2)
        self.map_channels, self.num_features = in_channels, scaled(HIDDEN, width)
        self.fc6 = nn.Linear(in_channels * frames * size**2, self.num_features)
        self.fc7 = nn.Linear(self.num_features, self.num_features)
        _initialise(self.fc6, 0.005, FC6_INPUTS, 1)
        _initialise(self.fc7, 0.005, HIDDEN, 1)
        self.relu_fc6, self.relu_fc7 = nn.ReLU(inplace=True), nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(DROPOUT)

    def last_map(self, x: Tensor) -> Tensor:
        """pool5: (B, in_channels, T, H, W) -> (B, 512 x width, T / 16, H / 32, W / 32), sizes rounded up."""
        for name, _, joined in LAYERS:
            x = self.get_submodule(f"relu_{name}")(self.get_submodule(name)(x))
            if joined:
                x = _max_pooled(x, joined)
        return x

    def fc6_features(self, x: Tensor) -> Tensor:
        """fc6 after its ReLU, the publication's features: (B, in_channels, T, H, W) -> (B, 4096 x width)."""
        features: Tensor = self.relu_fc6(self.fc6(self.last_map(x).flatten(1)))
        return features

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.relu_fc7(self.fc7(self.dropout(self.fc6_features(x))))
        return features


def initialise_as_he(network: nn.Module) -> None:
    """He's initial weights and biases of zero: in contrast to the published ones, they let a short training begin.

    From the published ones, the features of different videos differ by a thousandth of their size.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def _initialise(layer: nn.Conv3d | nn.Linear, deviation: float, inputs: int, bias: float) -> None:
    """Normal weights of the published deviation, which is for a layer with that many inputs, and a constant bias.

    A layer with fewer inputs has larger weights, so that its outputs vary as much; otherwise a narrow network would
    see nothing of its input.
    """
    assert layer.bias is not None
    nn.init.normal_(layer.weight, 0, deviation * math.sqrt(inputs / layer.weight[0].numel()))
    nn.init.constant_(layer.bias, bias)


def _max_pooled(x: Tensor, joined: int) -> Tensor:
    """Maxima over `joined` frames (1 or 2) and 2 x 2 pixels, sizes rounded up.

    This is `max_pool3d` with ceil_mode, whose gradient is not deterministic on GPUs.
    """
    x = F.max_pool2d(x.flatten(1, 2), 2, ceil_mode=True).unflatten(1, x.shape[1:3])
    if joined == 1:
        return x
    if x.shape[2] % 2:
        x = torch.cat([x, x[:, :, -1:]], 2)
    return torch.maximum(x[:, :, ::2], x[:, :, 1::2])
