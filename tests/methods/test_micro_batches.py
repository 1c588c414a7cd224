"""Networks of methods in micro-batches: 3D networks, streams without their mean flow, and dropout inside a backbone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VGG11_Weights, _api  # type: ignore[import-untyped]

from stp.models.segment_network import SegmentNetwork
from stp.training.run import image_channels
from tests import tiny_resnet
from tests.runs import assert_pieces_give_what_the_whole_batch_gives, make_run, module_of


def tiny_vgg(*, weights: VGG11_Weights | None = None) -> nn.Module:
    """Layers in the order of a VGG, with random weights."""
    maps = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(8), nn.Flatten()]
    connected = [nn.Linear(128, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*maps, *connected, nn.Linear(32, 1000))


a_tiny_resnet = tiny_resnet.a_tiny_resnet
pytestmark = pytest.mark.usefixtures("a_tiny_resnet", "a_tiny_vgg")


@pytest.fixture
def a_tiny_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision has `tiny_vgg`."""
    monkeypatch.setattr(tiny_vgg, "__module__", "torchvision.models.tiny")
    monkeypatch.setitem(_api.BUILTIN_MODELS, "tiny_vgg", tiny_vgg)


VGG = {"backbone": "torchvision/tiny_vgg", "width": 1.0}
C3D = {"backbone": "c3d", "width": 0.1, "frames": 4}
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("of/c3d", C3D),
    ("rgb/c3d", C3D | {"initial": "he"}),
    ("rgb/stpp", C3D | {"levels": [1, 2]}),
    ("of/stpp", {"backbone": "r2plus1d_18", "width": 0.1, "frames": 4, "levels": [1, 2]}),
    ("of/two_stream", {"backbone": tiny_resnet.NAME, "width": 1.0}),
    ("of/two_stream", VGG),
    ("rgb/two_stream", VGG),
]


def built(name: str, options: dict[str, Any]) -> tuple[SegmentNetwork, Tensor]:
    """A method's network and 5 videos."""
    tiny = {"backbone": "convnet", "weights": "none", "input_size": 32, "partial_bn": True}
    run = make_run(f"{name}/fold1/seed0", ("a", "b"), **tiny | options)
    torch.manual_seed(0)
    method = module_of(run)
    shape = (5, 1, 1, image_channels(run.name, method.sampler(run).columns), 32, 32)
    return method.build(run), torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize(("name", "options"), ROWS)
def test_without_dropout_micro_batches_give_what_the_whole_batch_gives(name: str, options: dict[str, Any]) -> None:
    def network() -> SegmentNetwork:
        made, _ = built(name, options)
        for module in made.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0
        return made

    assert_pieces_give_what_the_whole_batch_gives(network, built(name, options)[1], 1e-3)


@pytest.mark.parametrize(("name", "options"), [("of/c3d", C3D | {"initial": "he"}), ("of/two_stream", VGG)])
def test_gradients_of_micro_batches_are_those_of_the_masks_that_their_features_had(
    name: str, options: dict[str, Any]
) -> None:
    """A feature is fc7 after its ReLU, so that the bias of fc7 has a gradient of 1 from each that is not 0."""
    network, videos = built(name, options)
    backbone = network.train().backbone
    features, others = (network.features_in_pieces(videos.flatten(0, 2), 2) for _ in range(2))
    assert not torch.equal(features, others)  # there is dropout inside
    features.sum().backward()
    *_, fc7 = (module for module in backbone.modules() if isinstance(module, nn.Linear))
    expected = (features > 0).sum(0)
    assert fc7.bias.grad is not None
    assert fc7.bias.grad.tolist() == expected.tolist()
    assert len(expected.unique()) > 2
