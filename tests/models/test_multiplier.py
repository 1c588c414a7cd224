"""The multiplier network: plain ResNets where gates and filters do nothing, and both factors learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]

from stp.data.run_name import RunName
from stp.errors import UserError
from stp.methods import multiplier_net
from stp.models.multiplier import MultiplierNetwork, TemporalConvolution
from stp.training.run import Run
from tests.runs import assert_pieces_give_what_the_whole_batch_gives

TINY: dict[str, Any] = {
    **{"backbone": "torchvision/resnet18", "weights": "none", "input_size": 32, "partial_bn": False},
    **{"rgb": {"dropout": 0.0}, "frames": 3, "flow_fields": 2, "subtract_mean_flow": False},
}
CHANNELS = 3 * (3 + 2 * 2)  # of an image of three frames with two fields of flow each


def run_of(options: dict[str, Any]) -> Run:
    return multiplier_net.METHOD.run(RunName("rgb+of", "multiplier_net", 1), "multiplier_net", ("a", "b", "c"), options)


def built(**options: Any) -> MultiplierNetwork:
    """A network with norms that do something."""
    torch.manual_seed(0)
    network = multiplier_net.build(run_of(TINY | options))
    for name, value in network.backbone.state_dict().items():
        if name.endswith("running_mean") or (".bn" in name and name.endswith("bias")):
            value.copy_(0.1 * torch.randn(value.shape))
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape))
    return network


def images(number: int = 2) -> Tensor:
    return 255 * torch.rand(number, CHANNELS, 32, 32, generator=torch.Generator().manual_seed(number))


def frames(tower: str, seen: Tensor) -> Tensor:
    """What a tower sees, as the network's normed input: (B * 3, channels, 32, 32)."""
    return seen[:, :9].reshape(-1, 3, 32, 32) if tower == "appearance" else seen[:, 9:].reshape(-1, 4, 32, 32)


def plain_features(network: MultiplierNetwork, tower: str, seen: Tensor) -> Tensor:
    """Features of torchvision's own forward pass: its last maps, the maximum over the frames, the mean."""
    backbone = network.backbone.get_submodule(f"{tower}.backbone")
    maps: list[Tensor] = []
    hook = backbone.get_submodule("network.layer4").register_forward_hook(lambda *parts: maps.append(parts[2]))
    backbone(frames(tower, seen))
    hook.remove()
    return maps[0].unflatten(0, (-1, 3)).amax(1).mean((2, 3))


class One(nn.Module):
    """A gate of ones, for appearance that is positive."""

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        assert appearance.min() > 0
        return appearance * torch.ones_like(motion)


class Step(nn.Module):
    """A gate of ones where appearance is positive, and of zeros elsewhere."""

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        return appearance * (appearance > 0)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
@pytest.mark.parametrize("gate", [One, Step])
def test_with_gates_of_one_and_identity_filters_it_is_two_plain_resnets(name: str, gate: type[nn.Module]) -> None:
    network = built(backbone=f"torchvision/{name}").eval()
    if gate is One:  # a ResNet rectifies the sums, which are gated before: they must be positive
        for stage in network.backbone.appearance.stages:
            ends = stage[0].bn3 if hasattr(stage[0], "bn3") else stage[0].bn2
            nn.init.constant_(ends.weight, 0.1)
            nn.init.constant_(ends.bias, 10.0)
            if stage[0].downsample is not None:
                convolution, norm = stage[0].downsample
                with torch.no_grad():
                    convolution.weight.abs_()
                nn.init.zeros_(norm.bias)
                nn.init.zeros_(norm.running_mean)
    network.backbone.gates = nn.ModuleList(gate() for _ in range(4))
    seen = images()
    with torch.no_grad():
        features = network.backbone(seen)
        expected = torch.cat([plain_features(network, tower, seen) for tower in ("appearance", "motion")], 1)
    assert torch.allclose(features, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))
    assert features.std() > 0


def test_the_residual_branch_of_every_second_unit_gets_appearance_before_its_relu_times_rectified_motion() -> None:
    network = built().eval()
    backbone = network.backbone
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        return lambda module, inputs, output: seen.update({name: inputs[0].clone()} | {f"{name} out": output.clone()})

    for stage in range(4):
        for tower, part in (("a", backbone.appearance), ("m", backbone.motion)):
            for unit in range(2):
                first = part.stages[stage][unit]
                first.conv1.register_forward_hook(note(f"{tower}{stage}{unit} branch"))
                first.bn2.register_forward_hook(note(f"{tower}{stage}{unit} end"))
                if first.downsample is not None:
                    first.downsample.register_forward_hook(note(f"{tower}{stage}{unit} shortcut"))
    with torch.no_grad():
        backbone(images())
    for stage in range(4):
        sums = []
        for tower in "am":
            shortcut = f"{tower}{stage}0 shortcut out" if stage else f"{tower}00 branch"
            sums.append((seen[f"{tower}{stage}0 end out"] + seen[shortcut]).numpy())
        appearance, motion = sums
        np.testing.assert_allclose(
            seen[f"a{stage}1 branch"].numpy(), appearance * np.maximum(motion, 0), rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(seen[f"m{stage}1 branch"].numpy(), np.maximum(motion, 0), rtol=0, atol=1e-5)
        if stage < 3:  # the next stage begins with a unit whose shortcut was not gated
            end = np.maximum(appearance, 0) + seen[f"a{stage}1 end out"].numpy()
            np.testing.assert_allclose(seen[f"a{stage + 1}0 branch"].numpy(), np.maximum(end, 0), rtol=0, atol=1e-5)


def test_gradients_reach_both_factors_of_every_gate() -> None:
    network = built().train()
    factors: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        for factor in inputs:
            factor.retain_grad()
        factors.append(inputs)

    for gate in network.backbone.gates:
        gate.register_forward_pre_hook(keep)
    appearance, _ = network.heads(network.features(images()[:, None, None]))
    appearance[..., 0].sum().backward()
    assert len(factors) == 4
    for pair in factors:
        assert all(factor.grad is not None and factor.grad.any() for factor in pair)
    first = network.backbone.motion.backbone.network.conv1.weight  # type: ignore[union-attr]
    assert first.grad.any(), "the loss of appearance reaches the motion tower"  # type: ignore[union-attr, operator]


def test_a_temporal_convolution_is_over_three_frames_with_zeros_around() -> None:
    layer = TemporalConvolution(2, 4)
    maps = torch.randn(8, 2, 3, 3)
    assert torch.equal(layer(maps), maps)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        output = layer(maps).numpy()
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()  # type: ignore[union-attr]
    for video in range(2):
        for frame in range(4):
            expected = np.repeat(bias[:, None], 9, 1).reshape(2, 3, 3)
            for tap in range(3):
                if 0 <= frame + tap - 1 < 4:
                    other = maps[4 * video + frame + tap - 1].numpy()
                    expected = expected + np.einsum("oi,ihw->ohw", weight[:, :, tap, 0, 0], other)
            np.testing.assert_allclose(output[4 * video + frame], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", ["conv1", "temporal", "conv2"]),  # behind the first convolution of a basic block
        ("resnet50", ["conv1", "conv2", "temporal", "conv3"]),  # behind the 3x3 convolution of a bottleneck
    ],
)
def test_temporal_convolutions_stand_in_the_second_unit_of_every_stage(name: str, expected: list[str]) -> None:
    backbone = built(backbone=f"torchvision/{name}").eval().backbone
    order: list[str] = []

    def note(label: str) -> Any:
        return lambda *parts: order.append(label)

    for tower in (backbone.appearance, backbone.motion):
        assert [layer.out_channels for layer in tower.temporal] == [64, 128, 256, 512]
        for units, temporal in zip(tower.stages, tower.temporal, strict=True):
            temporal.register_forward_hook(note("temporal"))
            for label in ("conv1", "conv2", "conv3"):
                if hasattr(units[1], label):
                    getattr(units[1], label).register_forward_hook(note(label))
    with torch.no_grad():
        backbone(images(1))
    assert order == 8 * expected


def test_the_published_network_is_two_resnet_50_with_temporal_filters() -> None:
    with torch.device("meta"):  # numbers alone
        network = multiplier_net.build(run_of({"weights": "none", "partial_bn": False}))
    resnet = 25_557_032 - 2_049_000  # torchvision's ResNet-50 without its classifier
    flow = 64 * (20 - 3) * 49  # more channels of the first kernel
    temporal = sum(3 * maps * maps + maps for maps in (64, 128, 256, 512))
    classifiers = 2 * 3 * (2048 + 1)
    assert sum(p.numel() for p in network.parameters()) == 2 * (resnet + temporal) + flow + classifiers


def test_the_mean_of_each_flow_field_is_subtracted_if_that_is_wanted() -> None:
    for subtract in (True, False):
        backbone = built(subtract_mean_flow=subtract).eval().backbone
        seen = images()
        shifted = seen.clone()
        shifted[:, 9:] += 20
        with torch.no_grad():
            assert torch.allclose(backbone(seen), backbone(shifted), rtol=1e-3, atol=1e-3) == subtract


def test_micro_batches_give_the_features_and_gradients_of_the_whole_batch() -> None:
    assert_pieces_give_what_the_whole_batch_gives(lambda: built(partial_bn=True), images(5)[:, None, None], 1e-3)
    with pytest.raises(UserError, match=r"^compute.micro_batch_videos: .* set training.partial_bn: true"):
        built().train().features(images(3)[:, None, None], 1)


def test_both_towers_start_from_a_public_file_of_a_resnet(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = models.resnet18()
    torch.save(whole.state_dict(), tmp_path / "resnet18-own.pth")
    torch.manual_seed(0)
    backbone = multiplier_net.build(run_of(TINY | {"weights": str(tmp_path / "resnet18-own.pth")})).backbone
    for tower in (backbone.appearance, backbone.motion):
        state = tower.backbone.network.state_dict()
        for name, value in whole.state_dict().items():
            if name == "conv1.weight" and tower is backbone.motion:
                assert torch.equal(state[name], value.mean(1, keepdim=True).expand(-1, 4, -1, -1))
            elif not name.startswith("fc."):
                assert torch.equal(state[name], value), name


def test_other_backbones_are_one_line() -> None:
    words = r"^model.backbone: the multiplier network needs a ResNet of torchvision, as"
    for name in ("convnet", "torchvision/squeezenet1_1", "test_resnet"):
        with pytest.raises(UserError, match=words) as caught:
            multiplier_net.build(run_of(TINY | {"backbone": name}))
        assert "\n" not in str(caught.value)
    assert run_of({}).options.backbone == "torchvision/resnet50"
