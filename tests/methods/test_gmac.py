"""Multiplications of networks, as the table of methods gives them: by hand, and as torchvision publishes them."""

from typing import Any

import pytest
from torchvision import models  # type: ignore[import-untyped]

from stp import methods
from stp.data.run_name import RunName
from stp.training.model_file import TrainedOn
from tests.runs import untrained

CONVNET = ((16, 5), (32, 3), (64, 3), (96, 3))  # channels and kernel of each layer, which halves the image


def gmac(run_input: str, kind: str, **options: Any) -> float:
    """The figure of a run of 7 classes with random weights."""
    run = methods.find(kind).run(RunName(run_input, kind, 1), kind, tuple("abcdefg"), options | {"weights": "none"})
    return untrained(run).facts(TrainedOn((), {})).gmac


def convnet(channels: int, size: int) -> int:
    """Multiplications of `convnet` of width 1 for one image."""
    products = 0
    for outputs, kernel in CONVNET:
        size //= 2
        products += size**2 * outputs * channels * kernel**2
        channels = outputs
    return products


def test_a_network_of_images_is_its_convolutions_and_its_classifier() -> None:
    figure = gmac("of", "two_stream", backbone="convnet", input_size=32, flow_fields=10)
    assert figure * 1e9 == pytest.approx(convnet(20, 32) + 96 * 7, rel=1e-9)


def test_of_a_segment_every_image_counts() -> None:
    figure = gmac("rgb", "dtpp", backbone="convnet", input_size=32, images=4, levels=(1, 2))
    assert figure * 1e9 == pytest.approx(4 * convnet(3, 32) + 3 * 96 * 7, rel=1e-9)


def test_tan_is_its_towers_its_shared_layer_its_lstm_and_its_attention() -> None:
    options = {"postures": 5, "flow_fields": 5, "shared_width": 48, "lstm_width": 40}
    figure = gmac("rgb+of", "tan", backbone="convnet", input_size=32, **options)
    towers = convnet(3, 32) + convnet(10, 32)
    shared = 2 * 96 * 48
    lstm = 4 * 40 * (48 + 40)  # four gates see the posture and the state
    query, classifier = 40 * 48, 48 * 7
    assert figure * 1e9 == pytest.approx(5 * (towers + shared + lstm) + query + classifier, rel=1e-9)


def test_a_network_of_volumes_is_its_convolutions_over_space_and_time() -> None:
    figure = gmac("rgb", "c3d", width=0.125, input_size=32, frames=8)
    layers = (  # channels in and out, frames, side: pooling halves the side, and the frames from its second time on
        *((3, 8, 8, 32), (8, 16, 8, 16), (16, 32, 4, 8), (32, 32, 4, 8)),
        *((32, 64, 2, 4), (64, 64, 2, 4), (64, 64, 1, 2), (64, 64, 1, 2)),
    )
    convolutions = sum(inputs * outputs * 27 * frames * side**2 for inputs, outputs, frames, side in layers)
    linear = 64 * 512 + 512 * 512 + 512 * 7
    assert figure * 1e9 == pytest.approx(convolutions + linear, rel=1e-9)


def test_torchvisions_video_network_has_the_published_figure() -> None:
    entry = models.get_model_weights("r3d_18").KINETICS400_V1
    figure = gmac("rgb", "video_network", backbone="torchvision/r3d_18", input_size=112, frames=16)
    assert figure == pytest.approx(entry.meta["_ops"], abs=0.001)  # published in thousandths, with 400 classes


def test_attention_of_a_transformer_counts() -> None:
    figure = gmac("rgb", "two_stream", backbone="vit_tiny_patch16_224", partial_bn=False)
    tokens, width = 14 * 14 + 1, 192
    block = tokens * width * (3 * width + width + 2 * 4 * width) + 2 * tokens**2 * width
    assert figure * 1e9 == pytest.approx(14 * 14 * 16**2 * 3 * width + 12 * block + width * 7, rel=1e-9)
