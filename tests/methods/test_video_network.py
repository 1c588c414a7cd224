"""Video networks as methods: their publications' values, their samples, and what they refuse."""

import math
import re
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision import models  # type: ignore[import-untyped]

from stp import methods
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import c3d, video_network
from stp.system.devices import Compute
from stp.training.loop import Training
from stp.training.run import Run
from tests.runs import plan_of

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


def own_size(name: str) -> tuple[int, int]:
    """The frames of a clip and the pixels of its sides with which torchvision states a network's accuracy."""
    entry = models.get_model_weights(name).KINETICS400_V1
    words = re.search(r"`clip_len=(\d+)`", entry.meta["_docs"])
    assert words is not None
    return int(words[1]), entry.transforms().crop_size[0]


def step(name: str, frames: int, size: int) -> tuple[float, float]:
    """The loss of one clip before and after a step of SGD on it."""
    stream = {"learning_rate": 0.001, "dropout": 0.0}
    options = {"weights": "none", "input_size": size, "frames": frames, "batch_videos": 1, "partial_bn": False}
    run = made("video_network", backbone=f"torchvision/{name}", rgb=stream, **options)
    training = Training(plan_of(run), Compute(torch.device("cpu")))
    network, labels = training.network.train(), torch.tensor([1])
    clip = 255 * torch.rand(1, 1, 1, frames * 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)  # of dropouts and dropped paths within the network, which are to be the same ones afterwards
    before, _ = training.step(clip, labels)
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    torch.manual_seed(0)
    with torch.no_grad():
        after = F.cross_entropy(network(clip).mean(1), labels)
    return before.item(), after.item()


SMALL = ("r3d_18", "mc3_18", "r2plus1d_18")  # the others need 16 to 77 s of processor time, and up to 8 GiB
OWN_SIZES = [
    pytest.param(name, *own_size(name), marks=() if name in SMALL else pytest.mark.large)
    for name in models.list_models(module=models.video)
]


@pytest.mark.parametrize(("name", "frames", "size"), [*OWN_SIZES, ("s3d", 16, 112), ("swin3d_t", 8, 112)])
def test_a_step_of_a_video_network_lowers_the_loss_of_its_clip(name: str, frames: int, size: int) -> None:
    before, after = step(name, frames, size)
    assert before == pytest.approx(math.log(3), abs=0.1)
    assert after < before
