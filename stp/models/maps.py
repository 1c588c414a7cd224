"""The last feature maps of a backbone, and what it does behind them, taken apart."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stp.errors import UserError
from stp.models.backbones import Backbone
from stp.models.bninception import BNInception
from stp.models.convnet import ConvNet
from stp.models.state_dicts import first_line


class Maps(nn.Module):
    """A backbone's last maps, before its pooling: (B, C, H, W) float 0..255 -> (B, D, h, w)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return last_maps(self.backbone.network, self.backbone.normalised(images))


class Split(NamedTuple):
    """A backbone in two: its `maps`, D of them, and the `head` behind them, (B, D, h, w) -> (B, num_features).

    The head is the fully connected layers of a VGG or AlexNet, and `pooling` in other networks. `pooling` is the mean
    of each map, (B, D, h, w) -> (B, D), and with `convnet` a batch norm of its own.
    """

    maps: Maps
    num_maps: int
    head: nn.Module
    num_features: int
    pooling: nn.Module


def last_maps(network: nn.Module, images: Tensor) -> Tensor:
    """The last maps of a network, (B, C, H, W) in its input format -> (B, D, h, w), rectified where it does so.

    Those of a VGG, and of other networks whose features end with a max pooling, are the maps before it.

    Raises:
        UserError: the network is none whose last maps are known.
    """
    from torchvision.models import DenseNet, ResNet  # type: ignore[import-untyped]

    parts: Any = network
    if isinstance(network, ConvNet):
        maps = network.layers(images)
    elif isinstance(network, BNInception):
        maps = network.maps(images)
    elif isinstance(network, ResNet):
        maps = parts.maxpool(parts.relu(parts.bn1(parts.conv1(images))))
        maps = parts.layer4(parts.layer3(parts.layer2(parts.layer1(maps))))
    elif isinstance(getattr(network, "features", None), nn.Sequential):
        layers = parts.features
        maps = (layers[:-1] if isinstance(layers[-1], nn.MaxPool2d) else layers)(images)
        maps = maps.relu() if isinstance(network, DenseNet) else maps
    elif hasattr(network, "forward_features"):  # timm's
        maps = parts.forward_features(images)
    else:
        raise UserError(
            f"model.backbone: this method needs the last maps of a {type(network).__name__}, which are not known; take "
            "convnet, bninception, a torchvision/resnet or torchvision/vgg, or a convolutional network of timm"
        )
    assert isinstance(maps, Tensor)
    return maps


def split(backbone: Backbone, channels: int, size: int) -> Split:
    """Take a backbone for images (channels, size, size) apart; what it does behind its last maps is taken from it.

    Raises:
        UserError: its last maps are not known, or it has none, as a transformer.
    """
    from torchvision.models import VGG, AlexNet

    network: Any = backbone.network
    shape = _shape(backbone, channels, size)
    norm = [copy.deepcopy(network.norm)] if isinstance(network, ConvNet) else []
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *norm, nn.Flatten(1))
    head, num_features = nn.Sequential(nn.AdaptiveAvgPool2d(1), *copy.deepcopy(norm), nn.Flatten(1)), shape[1]
    if isinstance(network, (VGG, AlexNet)):
        head, num_features = nn.Sequential(network.avgpool, nn.Flatten(1), network.classifier), backbone.num_features
        network.classifier = nn.Identity()
    elif hasattr(network, "pre_logits") and hasattr(network, "features"):  # timm's VGG, whose fc6 is a convolution
        head, num_features = nn.Sequential(network.pre_logits, *head), backbone.num_features
        network.pre_logits = nn.Identity()
    elif norm:
        network.norm = nn.Identity()
    return Split(Maps(backbone), shape[1], head, num_features, pooling)


@torch.no_grad()
def _shape(backbone: Backbone, channels: int, size: int) -> torch.Size:
    """The shape of the last maps of one image; UserError if they are not square maps."""
    network = backbone.network
    training = backbone.training
    try:
        shape = Maps(backbone.eval())(torch.zeros(1, channels, size, size)).shape
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"model.input_size: {size} does not suit this method's maps: {first_line(error)}") from None
    backbone.train(training)
    if len(shape) != 4 or shape[2] != shape[3]:
        raise UserError(
            f"model.backbone: this method needs maps, and a {type(network).__name__} ends with values of the shape "
            f"{tuple(shape[1:])}; take a convolutional network"
        )
    return shape
