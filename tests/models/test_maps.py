"""Backbones taken apart: their last maps and what they do behind them make the backbone again."""

import copy
import re

import pytest
import torch
from torch.nn import functional as F

from stp.errors import UserError
from stp.models.backbones import build_backbone
from stp.models.maps import split

POOLED = (  # name, width, size, and the maps
    ("convnet", 0.5, 48, (48, 3, 3)),
    ("bninception", 0.125, 64, (128, 2, 2)),
    ("torchvision/resnet18", 1.0, 64, (512, 2, 2)),
    ("torchvision/densenet121", 1.0, 64, (1024, 2, 2)),
    ("torchvision/mobilenet_v2", 1.0, 64, (1280, 2, 2)),
    ("test_resnet", 1.0, 64, (96, 2, 2)),
    ("efficientnet_lite0", 1.0, 64, (1280, 2, 2)),
)


@pytest.mark.parametrize(("name", "width", "size", "shape"), POOLED, ids=[row[0] for row in POOLED])
def test_pooled_maps_are_the_features_of_the_backbone(
    name: str, width: float, size: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, 3, False, width=width).eval()
    images = 255 * torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected = copy.deepcopy(backbone)(images)
        parts = split(backbone, 3, size)
        maps = parts.maps(images)
        assert maps.shape == (2, *shape)
        assert (parts.num_maps, parts.num_features) == (shape[0], shape[0])
        for pool in (parts.head.eval(), parts.pooling.eval()):
            assert torch.allclose(pool(maps), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["torchvision/vgg11", "vgg11"])
def test_a_vgg_is_its_maps_before_the_last_pooling_and_its_own_connected_layers(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, 3, False).eval()
    images = 255 * torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = backbone(images)
        parts = split(backbone, 3, 64)
        maps = parts.maps(images)
        assert maps.shape == (1, 512, 4, 4)
        assert parts.num_features == 4096
        assert torch.allclose(parts.head.eval()(F.max_pool2d(maps, 2)), expected, rtol=0, atol=1e-5)
        assert torch.allclose(parts.pooling(maps), maps.mean((2, 3)), rtol=0, atol=1e-6)
    names = [name for name, _ in parts.maps.named_parameters()]
    assert names
    assert all(".features." in name for name in names), "what the head has is taken from the maps"


def test_the_head_and_the_pooling_of_the_small_network_have_norms_of_their_own() -> None:
    parts = split(build_backbone("convnet", 3, False, width=0.25), 3, 32)
    norms = [dict(part.named_parameters()) for part in (parts.head, parts.pooling)]
    assert all(len(norm) == 2 for norm in norms)
    assert norms[0]["1.weight"] is not norms[1]["1.weight"]
    assert not any(".norm." in name for name, _ in parts.maps.named_parameters())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision/googlenet", "needs the last maps of a GoogLeNet, which are not known; take convnet, "),
        ("torchvision/swin_t", "needs maps, and a SwinTransformer ends with values of the shape (7, 7, 768); take a "),
        ("vit_tiny_patch16_224", "needs maps, and a VisionTransformer ends with values of the shape (197, 192); take"),
    ],
)
def test_networks_without_last_maps_are_one_line(name: str, words: str) -> None:
    with pytest.raises(UserError, match=rf"^model.backbone: this method {re.escape(words)}") as caught:
        split(build_backbone(name, 3, False), 3, 224)
    assert "\n" not in str(caught.value)
