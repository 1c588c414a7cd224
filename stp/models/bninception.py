"""BN-Inception (Ioffe and Szegedy 2015), the paper's backbone, as a table of integers.

Parameters carry the names of the public ImageNet file (`conv1_7x7_s2.weight`, `inception_3a_1x1_bn.bias`, ...), so
that file loads without a mapping. Its classifier `last_linear` is not part of this network.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stp.models.batch_norm import FrozenBatchNorm, fold_norm
from stp.models.width import scaled


class Block(NamedTuple):
    """Channels of one inception block; 0 means no such branch. Blocks without a 1x1 branch halve the image."""

    name: str
    one: int  # 1x1
    three: tuple[int, int]  # 3x3: reduce, out
    double: tuple[int, int, int]  # double 3x3: reduce, middle, out
    pool: str  # pooling branch: "avg" or "max"
    projection: int  # 1x1 after the pooling; 0 passes it through


# fmt: off
BLOCKS = (              # 1x1  3x3         double 3x3       pool          output, at an input of 224
    Block("3a",  64, ( 64,  64), ( 64,  96,  96), "avg",  32),  #  256 x 28 x 28
    Block("3b",  64, ( 64,  96), ( 64,  96,  96), "avg",  64),  #  320 x 28 x 28
    Block("3c",   0, (128, 160), ( 64,  96,  96), "max",   0),  #  576 x 14 x 14
    Block("4a", 224, ( 64,  96), ( 96, 128, 128), "avg", 128),  #  576 x 14 x 14
    Block("4b", 192, ( 96, 128), ( 96, 128, 128), "avg", 128),  #  576 x 14 x 14
    Block("4c", 160, (128, 160), (128, 160, 160), "avg", 128),  #  608 x 14 x 14
    Block("4d",  96, (128, 192), (160, 192, 192), "avg", 128),  #  608 x 14 x 14
    Block("4e",   0, (128, 192), (192, 256, 256), "max",   0),  # 1056 x  7 x  7
    Block("5a", 352, (192, 320), (160, 224, 224), "avg", 128),  # 1024 x  7 x  7
    Block("5b", 352, (192, 320), (192, 224, 224), "max", 128),  # 1024 x  7 x  7
)
# fmt: on


STRIDE = 32  # the strided convolutions and the pools beside them halve only even maps to the same size


class BNInception(nn.Module):
    """BN-Inception without its classifier: (B, in_channels, H, W) float -> (B, 1024 x width) float.

    `width` scales every channel count. Height and width of the input must be multiples of STRIDE.
    """

    def __init__(self, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()

        wide = partial(scaled, width=width)

        def unit(name: str, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> int:
            self.add_module(name, nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2))
            self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs))
            self.add_module(f"{name}_relu", nn.ReLU(inplace=True))
            return outputs

        channels = unit("conv1_7x7_s2", in_channels, wide(64), 7, 2)
        channels = unit("conv2_3x3_reduce", channels, wide(64))
        channels = unit("conv2_3x3", channels, wide(192), 3)
        for name, one, three, double, _, projection in BLOCKS:
            prefix, stride = f"inception_{name}", 1 if one else 2
            total = unit(f"{prefix}_1x1", channels, wide(one)) if one else 0
            reduced = unit(f"{prefix}_3x3_reduce", channels, wide(three[0]))
            total += unit(f"{prefix}_3x3", reduced, wide(three[1]), 3, stride)
            reduced = unit(f"{prefix}_double_3x3_reduce", channels, wide(double[0]))
            middle = unit(f"{prefix}_double_3x3_1", reduced, wide(double[1]), 3)
            total += unit(f"{prefix}_double_3x3_2", middle, wide(double[2]), 3, stride)
            total += unit(f"{prefix}_pool_proj", channels, wide(projection)) if projection else channels
            channels = total
        self.last_maps = nn.Identity()  # its output is all maps before the mean, not those of one branch
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def _unit(self, name: str, x: Tensor) -> Tensor:
        """Convolution, batch norm, ReLU."""
        convolution, norm, relu = (self.get_submodule(part) for part in (name, f"{name}_bn", f"{name}_relu"))
        if x.is_cuda and isinstance(norm, FrozenBatchNorm):  # on an H100 a training step takes a fifth less time
            assert isinstance(convolution, nn.Conv2d)
            x = F.conv2d(x, *norm.folded(convolution), convolution.stride, convolution.padding)
        else:
            x = norm(convolution(x))
        activated: Tensor = relu(x)
        return activated

    def fold_norms(self) -> None:
        """Put all batch norms into their convolutions, for a network in evaluation mode."""
        for name in [name for name, module in self.named_children() if isinstance(module, nn.Conv2d)]:
            fold_norm(self, name, f"{name}_bn")

    def _block(self, block: Block, x: Tensor) -> Tensor:
        prefix, stride = f"inception_{block.name}", 1 if block.one else 2
        branches = [self._unit(f"{prefix}_1x1", x)] if block.one else []
        branches.append(self._unit(f"{prefix}_3x3", self._unit(f"{prefix}_3x3_reduce", x)))
        double = self._unit(f"{prefix}_double_3x3_1", self._unit(f"{prefix}_double_3x3_reduce", x))
        branches.append(self._unit(f"{prefix}_double_3x3_2", double))
        pool = F.avg_pool2d if block.pool == "avg" else F.max_pool2d
        pooled = pool(x, 3, stride, padding=1 if stride == 1 else 0, ceil_mode=True)
        branches.append(self._unit(f"{prefix}_pool_proj", pooled) if block.projection else pooled)
        return torch.cat(branches, 1)

    def maps(self, x: Tensor) -> Tensor:
        """All maps before the mean: (B, in_channels, H, W) -> (B, 1024 x width, H / 32, W / 32)."""
        if x.shape[-1] % STRIDE or x.shape[-2] % STRIDE:
            size = tuple(x.shape[-2:])
            raise ValueError(f"BN-Inception needs an input size that is a multiple of {STRIDE}, not {size}")
        x = F.max_pool2d(self._unit("conv1_7x7_s2", x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self._unit("conv2_3x3", self._unit("conv2_3x3_reduce", x)), 3, 2, ceil_mode=True)
        for block in BLOCKS:
            x = self._block(block, x)
        maps: Tensor = self.last_maps(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).mean((2, 3))
