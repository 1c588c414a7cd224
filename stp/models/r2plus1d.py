"""R(2+1)D (Tran et al., CVPR 2018): residual networks whose convolutions are one over space and then one over time.

The blocks and the names of all tensors are torchvision's, whose network of 18 layers this is. In the publication both
convolutions of a block have as many parameters as a 3x3x3 convolution. torchvision computes the channels between space
and time once for both, so that the second of a stage's first block has fewer.
"""

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D  # type: ignore[import-untyped]

from stp.models.width import scaled

# fmt: off
BLOCKS = {    # layers: blocks of each stage
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
}
# fmt: on
CHANNELS = (64, 128, 256, 512)
STEM = 45  # channels between space and time
CAFFE2_EPSILON = 1e-3  # of batch norms, as published


class R2Plus1D(nn.Module):
    """(B, in_channels, T, H, W) float -> (B, 512 x width), the mean of the last map, which has T / 8 x H / 16 x W / 16.

    `layers` is 18 (as torchvision has it) or 34 (as published); `width` multiplies all channels.
    """

    def __init__(self, layers: int, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        published = layers != 18
        between, inputs = scaled(STEM, width), scaled(CHANNELS[0], width)
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, between, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(between),
            nn.ReLU(inplace=True),
            nn.Conv3d(between, inputs, (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(inputs),
            nn.ReLU(inplace=True),
        )
        for number, (channels, blocks) in enumerate(zip(CHANNELS, BLOCKS[layers], strict=True), 1):
            outputs = scaled(channels, width)
            stage = [_block(inputs, outputs, 1 if number == 1 else 2, published)]
            stage += [_block(outputs, outputs, 1, published) for _ in range(1, blocks)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            inputs = outputs
        self.num_features = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, nn.BatchNorm3d) and published:
                module.eps = CAFFE2_EPSILON

    def last_map(self, x: Tensor) -> Tensor:
        """(B, in_channels, T, H, W) -> (B, 512 x width, T / 8, H / 16, W / 16), sizes rounded up."""
        x = self.stem(x)
        for number in range(1, len(CHANNELS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.last_map(x).mean((2, 3, 4))


def between_space_and_time(inputs: int, outputs: int) -> int:
    """Channels M between a 1x3x3 and a 3x1x1 convolution, which together then have the parameters of a 3x3x3 one."""
    return 27 * inputs * outputs // (9 * inputs + 3 * outputs)


def _block(inputs: int, outputs: int, stride: int, published: bool) -> nn.Module:
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))
    block: nn.Module = BasicBlock(inputs, outputs, Conv2Plus1D, stride, shortcut)
    if published:
        block.conv2[0] = Conv2Plus1D(outputs, outputs, between_space_and_time(outputs, outputs))  # type: ignore[operator]
    return block
