"""The pyramid above a backbone of one's own."""

import pytest
import timm
import torch
from torch import nn

import stp


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050", "test_vit"])
def test_it_stands_above_any_network_of_timm(name: str) -> None:
    """mobilenetv3 gives more values than its num_features; vit is no convolutional network."""
    backbone = timm.create_model(name, num_classes=0)
    network = stp.pyramid_network(backbone, classes=5)
    images = torch.rand(2, 1, 4, 3, 160, 160)
    assert network(images).shape == (2, 1, 5)
    network(images).sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_the_levels_are_means_over_1_2_and_4_parts_in_order() -> None:
    class Mean(nn.Module):
        num_features = 3

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3))

    network = stp.pyramid_network(Mean(), classes=2, levels=3).eval()
    images = torch.rand(1, 1, 4, 3, 6, 6)
    x = images.mean((4, 5))[0, 0]  # (4, 3)
    parts = [x.mean(0), x[:2].mean(0), x[2:].mean(0), *x]
    expected = torch.cat(parts) @ network.classifier.weight.T + network.classifier.bias
    assert torch.allclose(network(images)[0, 0], expected, atol=1e-6)


def test_a_backbone_of_the_package_takes_flow() -> None:
    backbone = stp.build_backbone("test_resnet", channels=10, is_flow=True)
    network = stp.pyramid_network(backbone, classes=2, levels=2)
    assert network(torch.randint(0, 256, (1, 3, 2, 10, 64, 64)).float()).shape == (1, 3, 2)


def test_what_does_not_fit_together_is_said_with_the_cure() -> None:
    with pytest.raises(ValueError, match="Linear does not say how many features it gives: set its num_features"):
        stp.pyramid_network(nn.Linear(3, 3), classes=2)
    with pytest.raises(ValueError, match="levels must be at least 1, not 0"):
        stp.pyramid_network(timm.create_model("test_resnet", num_classes=0), classes=2, levels=0)
    network = stp.pyramid_network(timm.create_model("test_resnet"), classes=2)
    with pytest.raises(ValueError, match=r"gives 1000 values for an image, .* remove its classifier, as num_classes"):
        network(torch.rand(1, 1, 4, 3, 64, 64))
    with pytest.raises(ValueError, match="6 sub-segments cannot be divided into 4 parts: give a multiple of it"):
        stp.pyramid_network(timm.create_model("test_resnet", num_classes=0), classes=2)(torch.rand(1, 1, 6, 3, 64, 64))
