"""A ResNet of torchvision that is small enough to train and save in a test: `torchvision/tiny_resnet`."""

from collections.abc import Iterator

import pytest
from torch import nn
from torchvision.models import ResNet, ResNet18_Weights, _api  # type: ignore[import-untyped]
from torchvision.models.resnet import BasicBlock  # type: ignore[import-untyped]

NAME = "torchvision/tiny_resnet"


class TinyResNet(ResNet):
    """ResNet-18 with an eighth of its channels."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.inplanes = 8
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        for stage, (maps, stride) in enumerate([(8, 1), (16, 2), (32, 2), (64, 2)], 1):
            setattr(self, f"layer{stage}", self._make_layer(BasicBlock, maps, 2, stride))
        self.fc = nn.Linear(64, 1000)


def tiny_resnet(*, weights: ResNet18_Weights | None = None) -> TinyResNet:
    """The network, with random weights."""
    return TinyResNet()


@pytest.fixture(scope="module")
def a_tiny_resnet() -> Iterator[None]:
    """Until the end of a module's tests, torchvision has `tiny_resnet`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_resnet, "__module__", "torchvision.models.tiny")
        patch.setitem(_api.BUILTIN_MODELS, "tiny_resnet", tiny_resnet)
        yield
