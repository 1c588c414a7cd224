"""Video networks as methods: their publications' values, their samples, and what they refuse."""

import re
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from stp import methods
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import c3d, video_network
from stp.training.run import Run

VALUES: dict[str, dict[str, Any]] = {
    "c3d": {"backbone": "c3d", "weights": "sports1m", "width": 1.0, "input_size": 112, "frames": 16},
    "r2plus1d": {"backbone": "r2plus1d_34", "weights": "ig65m+kinetics", "width": 1.0, "input_size": 112, "frames": 32},
    "stpp": {"backbone": "torchvision/r3d_18", "weights": "kinetics", "input_size": 112, "frames": 16}
    | {"levels": (1, 2, 4), "pooling": "max"},
    "video_network": {"backbone": "torchvision/r3d_18", "weights": "kinetics", "input_size": 112, "frames": 16},
}


def made(kind: str, **options: Any) -> Run:
    return methods.find(kind).run(RunName("rgb", kind, 1), kind, ("a", "b", "c"), options)


@pytest.mark.parametrize("kind", VALUES)
def test_the_defaults_are_the_publications(kind: str) -> None:
    values = asdict(made(kind).options)
    assert {key: values[key] for key in VALUES[kind]} == VALUES[kind]
    assert values["frame_distance"] == 1


def test_a_sample_is_one_image_of_frames_at_a_fixed_distance() -> None:
    drawn = video_network.sampler(made("r2plus1d", frames=4, frame_distance=3))
    samples = [drawn.draw(40, np.random.default_rng(seed)) for seed in range(500)]
    assert {sample.shape for sample in samples} == {(1, 4)}
    assert all((np.diff(sample) == 3).all() for sample in samples)
    assert {int(sample[0, 0]) for sample in samples} == set(range(31))
    assert drawn.spread(16, 2).tolist() == [[[1, 4, 7, 10]], [[5, 8, 11, 14]]]
    assert drawn.spread(3, 1).tolist() == [[[0, 1, 2, 2]]]  # a clip shorter than a sample repeats its end


def test_c3d_begins_as_published_or_as_he() -> None:
    def first(**options: Any) -> torch.Tensor:
        torch.manual_seed(0)
        network = c3d.build(made("c3d", frames=4, input_size=16, width=0.1, weights="none", **options))
        return network.backbone.get_parameter("network.conv2a.bias")

    assert (first() == 1).all()
    assert (first(initial="he") == 0).all()


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("c3d", {"backbone": "r2plus1d_18"}, "option backbone: 'r2plus1d_18' is not allowed; allowed: c3d; the method"),
        ("r2plus1d", {"backbone": "c3d"}, "'c3d' is not allowed; allowed: r2plus1d_34, r2plus1d_18; the method video"),
        ("video_network", {"frames": 0}, "option frames: 0 is not allowed; allowed: 1 to 1000"),
        ("stpp", {"levels": []}, "option levels: names no level; give the parts of each, such as [1, 2, 4]"),
        ("stpp", {"levels": [11]}, "option levels: 11 is not allowed; allowed: 1 to 10"),
        ("stpp", {"pooling": "sum"}, "pooling: 'sum' is not of type"),
    ],
)
def test_wrong_options_are_one_line(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        made(kind, **options)
    assert "\n" not in str(caught.value)


def test_an_error_names_the_key_where_it_stands_in_the_config() -> None:
    """Weights of these methods stand in their entry, those of others in section `model`."""
    method, run = methods.find("c3d"), made("c3d", weights="imagenet", width=0.02)
    with pytest.raises(UserError, match=r"^methods.c3d.weights: 'imagenet' is neither a file nor weights of 'c3d'"):
        method.prepare(run)
    method, run = methods.find("two_stream"), made("two_stream", weights="imagenet", backbone="convnet")
    with pytest.raises(UserError, match=r"^model.weights: 'imagenet' does not exist for the backbone 'convnet'"):
        method.prepare(run)
