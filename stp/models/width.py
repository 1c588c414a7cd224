"""Narrower and wider networks, for training from scratch: all channels multiplied, of torchvision's ResNets, too."""

import torch
from torch import nn

from stp.errors import UserError


def scaled(channels: int, width: float) -> int:
    """A number of channels times a width: at least 1."""
    return max(1, round(channels * width))


def multiply_channels(network: nn.Module, name: str, width: float) -> None:
    """Give every layer `width` times its channels, rounded, at least 1; those of the image and the classes stay.

    Weights are new and random, by the rule that torchvision has for these networks (He et al., by the outputs).

    Raises:
        UserError: `network`, in the config `name`, is no ResNet, and has a width other than 1; or its layers have
            groups, as in ResNeXt, which do not divide the channels.
    """
    if width == 1:
        return
    from torchvision.models import ResNet  # type: ignore[import-untyped]
    from torchvision.models.video import VideoResNet  # type: ignore[import-untyped]

    if not isinstance(network, ResNet | VideoResNet):
        raise UserError(f"model.width: {width} does not suit '{name}', which is no ResNet; use 1.0")
    for path, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            _multiply(layer, name, width)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            network.set_submodule(path, type(layer)(scaled(layer.num_features, width)))
        elif isinstance(layer, nn.Linear):
            network.set_submodule(path, nn.Linear(scaled(layer.in_features, width), layer.out_features))


def _multiply(layer: nn.Conv2d | nn.Conv3d, name: str, width: float) -> None:
    if layer.in_channels != 3:  # not those of an image
        layer.in_channels = scaled(layer.in_channels, width)
    layer.out_channels = scaled(layer.out_channels, width)
    if layer.in_channels % layer.groups or layer.out_channels % layer.groups:
        raise UserError(
            f"model.width: {width} does not suit '{name}': {layer.in_channels} and {layer.out_channels} channels are "
            f"not divided by its {layer.groups} groups; use another width"
        )
    shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    layer.weight = nn.Parameter(torch.empty(shape))
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
