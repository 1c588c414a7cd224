"""ResNets of torchvision with all their channels multiplied, and what has no width."""

import re
from math import prod

import pytest
import torch
from torch import nn
from torchvision import models  # type: ignore[import-untyped]

from stp.data.modalities import MODALITIES
from stp.errors import UserError
from stp.models.backbones import build_backbone
from stp.models.video_backbones import build_video_backbone
from stp.models.width import multiply_channels

RESNETS = ["resnet18", "resnet50", "resnext50_32x4d", "r3d_18", "mc3_18", "r2plus1d_18"]


@pytest.mark.parametrize("name", RESNETS)
def test_every_layer_has_its_channels_times_the_width(name: str) -> None:
    whole, network = models.get_model(name, weights=None), models.get_model(name, weights=None)
    multiply_channels(network, name, 0.25)
    made = network.state_dict()
    assert made.keys() == whole.state_dict().keys()
    for key, value in whole.state_dict().items():
        # R(2+1)D's stem has 45 channels, which become 11. Layers in groups have fewer inputs for each output already.
        layer = whole.get_submodule(key.rpartition(".")[0])
        sides = 1 if isinstance(layer, nn.Conv2d) and layer.groups > 1 else 2
        quarters = [side if side in (3, 400, 1000) else round(side / 4) for side in value.shape[:sides]]
        assert list(made[key].shape[:sides]) == quarters
        assert made[key].shape[2:] == value.shape[2:]


def test_images_and_clips_become_features_of_the_new_width() -> None:
    assert build_backbone("torchvision/resnet18", 10, True, width=0.25)(torch.rand(2, 10, 32, 32)).shape == (2, 128)
    video = build_video_backbone("torchvision/mc3_18", MODALITIES["of"], 4, "none", 0.125, 32)
    assert video(torch.rand(2, 8, 32, 32)).shape == (2, 64)
    assert video.last_map(torch.rand(2, 8, 32, 32)).shape[1] == video.map_channels == 64


@pytest.mark.parametrize("name", ["resnet18", "r3d_18"])
def test_random_weights_are_hes_by_the_outputs(name: str) -> None:
    torch.manual_seed(0)
    network = models.get_model(name, weights=None)
    multiply_channels(network, name, 0.5)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d) and layer.weight.numel() > 10_000:
            deviation = (2 / (layer.out_channels * prod(layer.kernel_size))) ** 0.5
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
            assert abs(layer.weight.mean().item()) < deviation / 20


def test_a_width_of_one_changes_nothing() -> None:
    torch.manual_seed(0)
    whole = models.resnet18(weights=None)
    torch.manual_seed(0)
    built = build_backbone("torchvision/resnet18", 3, False).network.state_dict()
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in built.items())


@pytest.mark.parametrize(
    ("name", "width", "words"),
    [
        ("torchvision/vgg16", 0.5, "model.width: 0.5 does not suit 'torchvision/vgg16', which is no ResNet; use 1.0"),
        (
            "torchvision/resnext50_32x4d",
            0.1,
            "model.width: 0.1 does not suit 'torchvision/resnext50_32x4d': 13 and 13 channels are not divided by its "
            "32 groups; use another width",
        ),
        (
            "mobilenetv3_small_050",
            0.5,
            "model.width: 0.5 does not suit 'mobilenetv3_small_050'; use 1.0, or bninception, convnet or a ResNet of "
            "torchvision",
        ),
    ],
)
def test_a_width_that_a_network_cannot_have_is_one_line(name: str, width: float, words: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(words)}$"):
        build_backbone(name, 3, False, width=width)
