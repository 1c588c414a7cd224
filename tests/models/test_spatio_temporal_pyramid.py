"""The spatio-temporal pyramid: bins by hand."""

import itertools

import pytest
import torch

from stp.data.modalities import MODALITIES
from stp.errors import UserError
from stp.models.spatio_temporal_pyramid import Pooling, SpatioTemporalPyramid, pooled_bins
from stp.models.video_backbones import build_video_backbone

RGB = MODALITIES["rgb"]


def test_bins_of_a_ramp_by_hand() -> None:
    volume = torch.arange(32.0).view(1, 1, 2, 4, 4)  # 16 t + 4 y + x
    assert pooled_bins(volume, 1, "max").tolist() == [[[31]]]
    assert pooled_bins(volume, 1, "mean").tolist() == [[[15.5]]]
    assert pooled_bins(volume, 2, "max").tolist() == [[[5, 7, 13, 15, 21, 23, 29, 31]]]
    assert pooled_bins(volume, 2, "mean").tolist() == [[[2.5, 4.5, 10.5, 12.5, 18.5, 20.5, 26.5, 28.5]]]
    of_four = pooled_bins(volume, 4, "max").view(4, 16)  # 2 frames for 4 bins: each stands in two
    assert torch.equal(of_four, torch.arange(32.0).view(2, 16).repeat_interleave(2, 0))


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_bins_are_the_cells_of_their_divisions(parts: int, pooling: Pooling) -> None:
    volume = torch.randn(2, 3, 2, 7, 5, generator=torch.Generator().manual_seed(0))
    expected = []
    for t, y, x in itertools.product(range(parts), repeat=3):
        ranges = [(i * n // parts, -(-(i + 1) * n // parts)) for i, n in ((t, 2), (y, 7), (x, 5))]
        cells = volume[:, :, slice(*ranges[0]), slice(*ranges[1]), slice(*ranges[2])].flatten(2)
        expected.append(cells.amax(2) if pooling == "max" else cells.mean(2))
    torch.testing.assert_close(pooled_bins(volume, parts, pooling), torch.stack(expected, 2))


@pytest.mark.parametrize("name", ["c3d", "r2plus1d_18", "r2plus1d_34", "torchvision/mc3_18"])
def test_features_are_the_bins_of_the_last_map_level_after_level(name: str) -> None:
    torch.manual_seed(0)
    width = 1.0 if name.startswith("torchvision") else 0.05
    backbone = build_video_backbone(name, RGB, 8, "none", width, 32)
    pyramid = SpatioTemporalPyramid(backbone, (1, 2, 4), "max").eval()
    images = torch.randint(0, 256, (2, 24, 32, 32)).float()
    with torch.inference_mode():
        features, last = pyramid(images), backbone.last_map(images)
    depth = last.shape[1]
    assert features.shape == (2, 73 * depth) == (2, pyramid.num_features)
    assert torch.equal(features[:, :depth], last.amax((2, 3, 4)))
    assert torch.equal(features[:, depth : 2 * depth], pooled_bins(last, 2, "max")[..., 0])
    assert torch.equal(features[:, -depth:], pooled_bins(last, 4, "max")[..., -1])
    assert all(parameter.requires_grad for parameter in pyramid.parameters())
    pyramid(images).sum().backward()
    own = [name for name, parameter in pyramid.named_parameters() if parameter.grad is None]
    assert [name for name in own if not name.startswith("backbone.network.fc")] == []


def test_the_last_map_is_what_the_network_averages() -> None:
    backbone = build_video_backbone("torchvision/mc3_18", RGB, 8, "none", 1.0, 32).eval()
    images = torch.randint(0, 256, (1, 24, 32, 32)).float()
    torch.testing.assert_close(backbone.last_map(images).mean((2, 3, 4)), backbone(images))


def test_a_network_without_a_last_map_is_refused() -> None:
    backbone = build_video_backbone("torchvision/swin3d_t", RGB, 2, "none", 1.0, 32)
    with pytest.raises(
        UserError, match=r"^model.backbone: this network has no last map of 3D convolutions; use one of"
    ):
        SpatioTemporalPyramid(backbone, (1, 2), "max")
