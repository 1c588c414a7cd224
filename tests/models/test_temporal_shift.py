"""The temporal shift by hand, and what is left of it in a ResNet: nothing without shifted channels."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import tsm
from stp.models.backbones import build_backbone
from stp.models.micro_batches import micro_batch_features
from stp.models.temporal_shift import ShiftedFrames, TemporalShift, TemporalShiftNetwork, temporal_shift
from stp.training.loop import parameter_groups
from stp.training.run import Run

NO_SHIFT = 1_000_000  # of no network has a layer as many channels


def run_of(run_input: str, backbone: str = "torchvision/resnet18", **options: object) -> Run:
    values = {"backbone": backbone, "weights": "none", "input_size": 32, "partial_bn": False, "frames": 4}
    return tsm.METHOD.run(RunName(run_input, "tsm", 1), "tsm", ("a", "b"), values | options)


def network_of(run: Run) -> TemporalShiftNetwork:
    torch.manual_seed(0)
    network = tsm.build(run)
    assert isinstance(network, TemporalShiftNetwork)
    nn.init.normal_(network.classifier.weight)
    return network


def test_a_ramp_is_shifted_as_by_hand() -> None:
    # Two videos of 3 frames with 8 channels; a value is 100 video + 10 frame + channel, video and frame from 1.
    frames = torch.tensor(
        [[100.0 * video + 10 * frame + c for c in range(8)] for video in (1, 2) for frame in (1, 2, 3)]
    )
    shifted = temporal_shift(frames[:, :, None, None].repeat(1, 1, 2, 2), 3, 4)
    assert (shifted == shifted[:, :, :1, :1]).all()
    assert shifted[:, :, 0, 0].int().tolist() == [
        [120, 121, 0, 0, 114, 115, 116, 117],
        [130, 131, 112, 113, 124, 125, 126, 127],
        [0, 0, 122, 123, 134, 135, 136, 137],
        [220, 221, 0, 0, 214, 215, 216, 217],
        [230, 231, 212, 213, 224, 225, 226, 227],
        [0, 0, 222, 223, 234, 235, 236, 237],
    ]


def test_a_shift_of_no_channels_changes_nothing() -> None:
    maps = torch.rand(6, 8, 2, 2)
    assert torch.equal(temporal_shift(maps, 3, NO_SHIFT), maps)


@pytest.mark.parametrize(("run_input", "channels"), [("rgb", 3), ("of", 10)])
def test_without_shifted_channels_it_is_the_mean_of_the_plain_resnet(run_input: str, channels: int) -> None:
    torch.manual_seed(1)
    plain = build_backbone("torchvision/resnet18", channels, run_input == "of").eval()
    network = network_of(run_of(run_input)).eval()
    for shift in network.modules():
        if isinstance(shift, TemporalShift):
            shift.division = NO_SHIFT
    images = torch.randint(0, 256, (2, 1, 1, 4 * channels, 32, 32)).float()
    own = {key.removeprefix("backbone.backbone."): value for key, value in network.state_dict().items()}
    plain.load_state_dict(
        {key: own[key if key in own else key.replace("conv1.", "conv1.1.")] for key in plain.state_dict()}
    )
    expected = []
    for video in images:
        features = [plain(video[0, :, channels * t : channels * t + channels]) for t in range(4)]
        expected.append(network.classifier(torch.cat(features).mean(0)))
    assert torch.allclose(network(images)[:, 0], torch.stack(expected), atol=1e-4)


def test_frames_see_their_neighbours_and_videos_do_not() -> None:
    backbone = network_of(run_of("rgb")).eval().backbone
    images = torch.randint(0, 256, (2, 12, 32, 32)).float()
    changed = images.clone()
    changed[0, :3] = 255 - changed[0, :3]  # the first frame of the first video
    before, after = (backbone(x).unflatten(1, (4, -1)) for x in (images, changed))
    assert (before[0] != after[0]).any(1).tolist() == [True] * 4  # 8 blocks pass on what they see by a frame each
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize(
    ("backbone", "shifts"), [("resnet18", [2, 2, 2, 2]), ("resnet50", [3, 4, 6, 3]), ("resnet101", [2, 2, 12, 2])]
)
def test_every_block_of_any_resnet_shifts_and_of_deep_ones_every_second(backbone: str, shifts: list[int]) -> None:
    network = ShiftedFrames(build_backbone(f"torchvision/{backbone}", 3, False), backbone, 3, 8, 8).backbone.network
    found = []
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        names = [n for n, m in network.get_submodule(stage).named_modules() if isinstance(m, TemporalShift)]
        assert all(re.fullmatch(r"\d+\.conv1\.0", name) for name in names)  # before the block's first convolution
        found.append(len(names))
    assert found == shifts


def test_the_small_network_shifts_before_every_convolution_but_the_first() -> None:
    network = ShiftedFrames(build_backbone("convnet", 3, False), "convnet", 3, 8, 8).backbone.network
    names = [name for name, module in network.named_modules() if isinstance(module, TemporalShift)]
    assert names == ["layers.3.0", "layers.6.0", "layers.9.0"]


@pytest.mark.parametrize("backbone", ["bninception", "torchvision/mobilenet_v2"])
def test_other_backbones_are_one_line(backbone: str) -> None:
    with pytest.raises(UserError, match=f"^model.backbone: '{backbone}' has no place for tsm's shifts; use a ResNet"):
        tsm.build(run_of("rgb", backbone))


def test_resnet_50_is_the_published_backbone() -> None:
    assert tsm.TsmOptions().backbone == "torchvision/resnet50"
    assert (tsm.TsmOptions().frames, tsm.TsmOptions().shift_div) == (8, 8)


def test_the_classifier_learns_five_times_as_fast_and_so_does_flows_first_convolution() -> None:
    for run_input, factor in (("rgb", 1), ("of", 5)):
        network = network_of(run_of(run_input))
        groups = parameter_groups(network, 0.01, 5e-4, run_input == "of")
        rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
        assert rates[id(network.classifier.weight)] == pytest.approx((0.05, 5e-4))
        assert rates[id(network.classifier.bias)] == pytest.approx((0.1, 0))
        resnet = network.backbone.get_submodule("backbone.network")
        assert rates[id(resnet.get_parameter("conv1.weight"))] == pytest.approx((0.01 * factor, 5e-4))
        assert rates[id(resnet.get_parameter("layer1.0.conv1.1.weight"))] == pytest.approx((0.01, 5e-4))


def test_a_sample_is_one_image_of_frames_of_the_whole_video() -> None:
    rgb, flow = tsm.sampler(run_of("rgb")), tsm.sampler(run_of("of"))
    rng = np.random.default_rng(0)
    drawn = np.array([rgb.draw(20, rng) for _ in range(300)])
    assert drawn.shape == (300, 1, 4)
    for frame in range(4):
        assert set(drawn[:, 0, frame]) == set(range(5 * frame, 5 * frame + 5))
    assert flow.columns == (20,)
    assert flow.spread(21, 1)[0, 0].reshape(4, 5).tolist() == [list(range(n, n + 5)) for n in (2, 6, 10, 14)]


def test_micro_batches_give_the_features_and_gradients_of_the_whole_batch() -> None:
    backbone = network_of(run_of("rgb", partial_bn=True)).train().backbone
    images = torch.randint(0, 256, (5, 12, 32, 32)).float()

    def gradients(features: Tensor) -> list[Tensor]:
        backbone.zero_grad()
        features.square().mean().backward()
        return [p.grad.clone() for p in backbone.parameters() if p.grad is not None]

    whole, divided = backbone(images), micro_batch_features(backbone, images, 2)
    assert torch.allclose(whole, divided, atol=1e-4)
    for first, second in zip(gradients(whole), gradients(divided), strict=True):
        assert torch.allclose(first, second, rtol=1e-3, atol=1e-5)
