"""The methods that docs/methods.md names for EfficientNet-Lite0 start from the weights of its package."""

from typing import Any

import pytest
import torch

from stp.data.modalities import MODALITIES
from stp.features import frozen
from stp.models.backbones import build_backbone
from stp.training.run import image_channels
from tests.runs import make_run, module_of

NAME, SIZE = "efficientnet_lite0", 64
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("of/two_stream", {}),
    ("rgb+of/two_stream_fusion", {"frames": 2}),
    ("rgb+of/tpp", {"images": 4, "encoding": 8}),
    ("of/dtpp", {"images": 4}),
    ("rgb+of/tan", {"postures": 2, "shared_width": 8, "lstm_width": 8}),
    ("rgb/trn", {"images": 3, "reduced": 8}),
]


@pytest.fixture(scope="module")
def kernels() -> list[torch.Tensor]:
    """Those of two of the network's convolutions, behind the first, which flow changes, and the last."""
    weights = build_backbone(NAME, 3, False, "imagenet").network.state_dict()
    return [weights["blocks.0.0.conv_dw.weight"], weights["conv_head.weight"]]


def held(network: torch.nn.Module, kernel: torch.Tensor) -> int:
    """The number of a network's tensors that are this one."""
    return sum(value.shape == kernel.shape and torch.equal(value, kernel) for value in network.state_dict().values())


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=[name for name, _ in NETWORKS])
def test_networks_start_from_the_packages_weights(
    name: str, options: dict[str, Any], kernels: list[torch.Tensor]
) -> None:
    run = make_run(
        f"{name}/fold1/seed0", ("a", "b", "c"), backbone=NAME, weights="imagenet", input_size=SIZE, **options
    )
    method = module_of(run)
    network, sampler = method.build(run).eval(), method.sampler(run)
    assert [held(network, kernel) for kernel in kernels] == 2 * [len(run.name.modalities)]
    images = torch.rand(2, 1, sampler.subsegments, image_channels(run.name, sampler.columns), SIZE, SIZE) * 255
    with torch.inference_mode():
        features, scores = network.features(images), network(images)
    assert scores.shape == (2, 1, 3)
    assert scores.isfinite().all()
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize("modality", ["rgb", "of"])
def test_the_features_of_svm_are_those_of_the_packages_weights(modality: str, kernels: list[torch.Tensor]) -> None:
    network = frozen.network(frozen.FrozenOptions(input_size=SIZE), MODALITIES[modality])
    assert [held(network, kernel) for kernel in kernels] == [1, 1]
    with torch.inference_mode():
        features = network(torch.rand(2, 3 if modality == "rgb" else 10, SIZE, SIZE) * 255)
    assert features.shape == (2, 1280)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])
