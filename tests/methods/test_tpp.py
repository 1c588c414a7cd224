"""TPP and DTPP: the images of a sample, and what each stream of a joint network sees."""

import re

import numpy as np
import pytest
import torch

from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import dtpp, tpp
from stp.models.video_pyramid import JoinedEncodings
from stp.training.run import Run

TINY = {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False, "images": 4}


def run_of(run_input: str, method: str, **options: object) -> Run:
    METHOD = {"dtpp": dtpp, "tpp": tpp}[method].METHOD
    return METHOD.run(RunName(run_input, method, 1), method, ("a", "b"), TINY | options)


def test_a_sample_is_the_whole_video() -> None:
    rng = np.random.default_rng(0)
    frames, stacks = dtpp.sampler(run_of("rgb", "dtpp")), dtpp.sampler(run_of("of", "dtpp"))
    drawn = np.array([frames.draw(20, rng) for _ in range(300)])
    assert drawn.shape == (300, 4, 1)
    for image in range(4):
        assert set(drawn[:, image, 0]) == set(range(5 * image, 5 * image + 5))
    assert stacks.spread(21, 1)[0].tolist() == [list(range(first, first + 5)) for first in (2, 6, 10, 14)]
    joint = tpp.sampler(run_of("rgb+of", "tpp"))
    assert joint.columns == (1, 5)
    for image in joint.draw(20, rng):
        assert image.tolist()[0] == image.tolist()[3]  # the frame lies in the middle of its flow


def test_appearance_sees_rgb_and_motion_sees_flow() -> None:
    torch.manual_seed(0)
    joined = tpp.build(run_of("rgb+of", "tpp", encoding=6)).eval().backbone
    assert isinstance(joined, JoinedEncodings)

    for layer in joined.encodings:
        torch.nn.init.constant_(layer.get_parameter("0.bias"), 10)  # so that no rectifier hides a difference
    images = torch.randint(0, 256, (1, 13, 32, 32)).float()
    for channels, changed in ((slice(0, 3), slice(0, 6)), (slice(3, 13), slice(6, 12))):
        other = images.clone()
        other[:, channels] = 255 - other[:, channels]
        same = (joined(images) == joined(other))[0]
        assert not same[changed].any()
        assert int(same.sum()) == 6


def test_one_sees_a_single_modality_and_the_other_two() -> None:
    for run, words in (
        (run_of("rgb+of", "dtpp"), "methods.dtpp.inputs: 'rgb+of' is not a single modality"),
        (run_of("of", "tpp"), "methods.tpp.inputs: 'of' is not RGB and flow together"),
        (run_of("of+wof", "tpp"), "methods.tpp.inputs: 'of+wof' is not RGB and flow together"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            {"dtpp": dtpp, "tpp": tpp}[run.kind].METHOD.check(run)


def test_micro_batches_of_both_streams_give_the_same_features_and_gradients() -> None:
    torch.manual_seed(0)
    network = tpp.build(run_of("rgb+of", "tpp", encoding=6, partial_bn=True)).train()
    images = torch.randint(0, 256, (5, 1, 4, 13, 32, 32)).float()

    def features(videos_at_once: int) -> list[torch.Tensor]:
        network.zero_grad()
        found = network.features(images, videos_at_once)
        found.square().mean().backward()
        return [found.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]

    whole, divided = features(0), features(2)
    assert len(whole) > 10
    for first, second in zip(whole, divided, strict=True):
        assert torch.allclose(first, second, rtol=1e-3, atol=1e-5)
