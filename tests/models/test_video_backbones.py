"""Video backbones: shapes and parameters of the publications, torchvision's networks, weights and refusals."""

import hashlib
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models  # type: ignore[import-untyped]

from stp.data.modalities import MODALITIES
from stp.errors import UserError
from stp.models import video_backbones
from stp.models.batch_norm import freeze_batch_norms
from stp.models.c3d import C3D, LAYERS, initialise_as_he
from stp.models.micro_batches import micro_batch_features
from stp.models.r2plus1d import R2Plus1D
from stp.models.video_backbones import MeanOfWindows, VideoBackbone, build_video_backbone
from tests.models.test_zoo import fetched

RGB, FLOW = MODALITIES["rgb"], MODALITIES["of"]
# The public file is of the Caffe model's layers under mmaction2's names.
C3D_SHAPES = [
    ("conv1a", (64, 3, 3, 3, 3)),
    ("conv2a", (128, 64, 3, 3, 3)),
    ("conv3a", (256, 128, 3, 3, 3)),
    ("conv3b", (256, 256, 3, 3, 3)),
    ("conv4a", (512, 256, 3, 3, 3)),
    ("conv4b", (512, 512, 3, 3, 3)),
    ("conv5a", (512, 512, 3, 3, 3)),
    ("conv5b", (512, 512, 3, 3, 3)),
    ("fc6", (4096, 8192)),
    ("fc7", (4096, 4096)),
]


def shapes_of(network: nn.Module, names: list[str], volume: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes of the outputs of these modules for a batch of this shape; only shapes are computed."""
    found = []
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda module, inputs, output: found.append(output.shape[1:]))
    network.to("meta").eval()(torch.zeros(volume, device="meta"))
    return [tuple(shape) for shape in found]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def images_of(backbone: VideoBackbone, number: int, size: int) -> Tensor:
    shape = (number, backbone.frames * backbone.channels, size, size)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).float()


def shaken(network: nn.Module) -> nn.Module:
    """The network with batch norms that are far from the identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d) and module.running_mean is not None and module.running_var is not None:
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network


def test_c3d_has_the_published_layers_and_parameters() -> None:
    with torch.device("meta"):
        network = C3D()
    assert [(name, tuple(network.get_parameter(f"{name}.weight").shape)) for name, _ in C3D_SHAPES] == C3D_SHAPES
    convolutions = 27 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 3 * 512 * 512)
    biases = 64 + 128 + 2 * 256 + 4 * 512 + 2 * 4096
    assert parameters(network) == convolutions + biases + 8192 * 4096 + 4096 * 4096
    assert parameters(network) + 487 * 4097 == 79_991_015  # with the classifier of Sports-1M
    assert round((parameters(network) + 101 * 4097) / 1e6, 1) == 78.4  # mmaction2, UCF101
    names = [name for name, _ in C3D_SHAPES]
    assert shapes_of(network, names, (1, 3, 16, 112, 112)) == [
        (64, 16, 112, 112),
        (128, 16, 56, 56),
        (256, 8, 28, 28),
        (256, 8, 28, 28),
        (512, 4, 14, 14),
        (512, 4, 14, 14),
        (512, 2, 7, 7),
        (512, 2, 7, 7),
        (4096,),
        (4096,),
    ]
    assert network.last_map(torch.zeros(1, 3, 16, 112, 112, device="meta")).shape == (1, 512, 1, 4, 4)  # 7 -> 4


@pytest.mark.parametrize("frames", [4, 5])
def test_c3d_is_convolutions_relu_and_ceil_pooling(frames: int) -> None:
    torch.manual_seed(0)
    network = C3D(3, frames, 20, 0.1).eval()
    initialise_as_he(network)
    x = volume = torch.rand(2, 3, frames, 20, 20)
    for name, _, joined in LAYERS:
        x = F.relu(network.get_submodule(name)(x))
        if joined:
            x = F.max_pool3d(x, (joined, 2, 2), ceil_mode=True)
    assert torch.equal(network.last_map(volume), x)
    fc6 = F.relu(network.fc6(x.flatten(1)))
    assert torch.equal(network.fc6_features(volume), fc6)
    assert torch.equal(network(volume), F.relu(network.fc7(fc6)))
    assert not torch.equal(network.train()(volume), network(volume))  # dropout between fc6 and fc7


def test_c3d_begins_as_published_and_narrow_ones_vary_as_much() -> None:
    torch.manual_seed(0)
    whole, narrow = C3D(), C3D(3, 16, 32, 0.25)
    for name in ("conv2a", "conv5b"):
        deviation = whole.get_parameter(f"{name}.weight").std().item()
        assert deviation == pytest.approx(0.01, rel=0.01)
        assert narrow.get_parameter(f"{name}.weight").std().item() == pytest.approx(0.02, rel=0.02)
        assert (whole.get_parameter(f"{name}.bias") == 1).all()
    assert whole.fc7.weight.std().item() == pytest.approx(0.005, rel=0.01)
    assert (whole.get_parameter("conv1a.bias") == 0).all()


def test_r2plus1d_34_has_the_published_table() -> None:
    with torch.device("meta"):
        network = R2Plus1D(34)
    blocks = [f"layer{stage}.{block}" for stage, number in enumerate((3, 4, 6, 3), 1) for block in range(number)]
    between = {
        name: (network.get_parameter(f"{name}.conv1.0.0.weight").shape[0], conv2.shape[0])
        for name in blocks
        for conv2 in [network.get_parameter(f"{name}.conv2.0.0.weight")]
    }
    first = {"layer2.0": 27 * 64 * 128 // (9 * 64 + 3 * 128)}
    first |= {"layer3.0": 27 * 128 * 256 // (9 * 128 + 3 * 256), "layer4.0": 27 * 256 * 512 // (9 * 256 + 3 * 512)}
    plain = {"layer1": 144, "layer2": 288, "layer3": 576, "layer4": 1152}
    assert between == {name: (first.get(name, plain[name[:6]]), plain[name[:6]]) for name in blocks}
    matrices = sum(p.numel() for p in network.parameters() if p.dim() > 1) + 400 * 512
    assert 63.6e6 <= matrices < 63.7e6  # published: 63.6 million
    assert parameters(network) + 400 * 513 == 63_697_175
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm3d)} == {1e-3}
    stages = ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert shapes_of(network, stages, (1, 3, 32, 112, 112)) == [
        (64, 32, 56, 56),
        (64, 32, 56, 56),
        (128, 16, 28, 28),
        (256, 8, 14, 14),
        (512, 4, 7, 7),
    ]


def test_r2plus1d_18_is_torchvisions_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = shaken(models.get_model("r2plus1d_18"))
    torch.save(whole.state_dict(), tmp_path / "own.pth")
    entry = models.get_model_weights("r2plus1d_18").KINETICS400_V1
    assert parameters(whole) == entry.meta["num_params"]
    assert video_backbones.PUBLIC_FILES["r2plus1d_18"]["kinetics"] == entry.url
    whole.fc = nn.Identity()
    images = torch.randint(0, 256, (2, 8 * 3, 32, 32)).float()
    for name in ("r2plus1d_18", "torchvision/r2plus1d_18"):
        backbone = build_video_backbone(name, RGB, 8, str(tmp_path / "own.pth"), input_size=32).eval()
        with torch.inference_mode():
            assert torch.equal(backbone(images), whole.eval()(backbone.volume(images)))
        assert backbone.loaded is not None
        assert backbone.loaded.tensors_left_out == ["fc.weight", "fc.bias"]
    mean, std = torch.tensor([entry.transforms().mean, entry.transforms().std]).view(2, 1, 3, 1, 1, 1)
    frames = images.unflatten(1, (8, 3)).transpose(1, 2) / 255  # (B, 3, T, H, W)
    torch.testing.assert_close(backbone.volume(images), (frames - mean) / std, rtol=1e-5, atol=1e-5)


def test_c3d_sees_rgb_minus_mmaction2s_means() -> None:
    backbone = build_video_backbone("c3d", RGB, 2, "none", 0.02, 16)
    images = torch.arange(6.0).view(1, 6, 1, 1).expand(1, 6, 16, 16)  # frame 0 has R, G, B = 0, 1, 2
    volume = backbone.volume(images)
    assert volume.shape == (1, 3, 2, 16, 16)
    assert volume[0, :, :, 0, 0].tolist() == [[-104, -101], [-116, -113], [-126, -123]]


@pytest.mark.parametrize("name", ["c3d", "r2plus1d_18", "torchvision/r3d_18"])
def test_flow_begins_with_the_mean_of_the_kernels_of_rgb(name: str) -> None:
    made = []
    for modality in (RGB, FLOW):
        torch.manual_seed(0)
        made.append(build_video_backbone(name, modality, 4, "none", 1.0, 32))
    kernel, inflated = (next(m for m in b.modules() if isinstance(m, nn.Conv3d)).weight for b in made)
    assert inflated.shape[1] == 2
    torch.testing.assert_close(inflated, kernel.mean(1, keepdim=True).expand_as(inflated))
    still = torch.full((1, 8, 32, 32), 128.0)
    assert (made[1].volume(still) == 0).all()
    assert made[1].volume(still).shape == (1, 2, 4, 32, 32)


def c3d_file(path: Path, **changed: Tensor) -> None:
    """A file in the form of mmaction2's of C3D."""
    torch.manual_seed(1)
    state: dict[str, Tensor] = {}
    for name, shape in C3D_SHAPES:
        small = tuple(max(1, round(0.05 * size)) if size > 3 else size for size in shape)
        small = (small[0], 26 * 4 * 4) if name == "fc6" else small
        inner = f"{name}.conv" if name.startswith("conv") else name
        state |= {f"{inner}.weight": torch.randn(small), f"{inner}.bias": torch.randn(small[0])}
    torch.save(state | changed, path)


@pytest.mark.parametrize("nested", [False, True])
def test_mmaction2s_file_of_c3d_loads_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nested: bool) -> None:
    path = tmp_path / "own.pth"
    c3d_file(path, **{"fc8.weight": torch.zeros(487, 205), "fc8.bias": torch.zeros(487)})
    state = torch.load(path)
    if nested:
        torch.save({"meta": {"epoch": 3}, "state_dict": OrderedDict(state)}, path)
    monkeypatch.setattr(video_backbones, "hub_file", lambda url, weights: path)
    backbone = build_video_backbone("c3d", RGB, 16, "sports1m", 0.05, 112)
    for key, value in backbone.network.state_dict().items():
        layer, kind = key.split(".")
        assert torch.equal(value, state[f"{layer}.conv.{kind}" if layer.startswith("conv") else key])
    assert backbone.loaded is not None
    assert backbone.loaded.tensors_loaded == 20
    assert backbone.loaded.tensors_left_out == ["fc8.weight", "fc8.bias"]


def test_a_file_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    c3d_file(tmp_path / "own.pth", more=torch.zeros(2))
    with pytest.raises(UserError, match=r"^model.weights: '.*own.pth' does not fit the network: Unexpected key"):
        build_video_backbone("c3d", RGB, 16, str(tmp_path / "own.pth"), 0.05, 112)
    torch.save(R2Plus1D(18, 3, 0.1).state_dict(), tmp_path / "own.pth")
    with pytest.raises(UserError, match=r"does not fit the network: (Missing|Unexpected) key"):
        build_video_backbone("r2plus1d_34", RGB, 4, str(tmp_path / "own.pth"), 0.1, 32)


@pytest.mark.parametrize(
    ("name", "weights", "file"),
    [
        ("c3d", "sports1m", "c3d_sports1m_pretrain_20201016-dcc47ddc.pth"),
        ("r2plus1d_34", "ig65m+kinetics", "r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth"),
        ("r2plus1d_18", "kinetics", "r2plus1d_18-91a641e6.pth"),
        ("torchvision/r3d_18", "kinetics", "r3d_18-b3b3357e.pth"),
    ],
)
def test_public_weights_are_files_with_checksums(
    name: str, weights: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetched)
    path = tmp_path / "checkpoints" / file
    words = (
        f"model.weights: '{weights}' needs the file {file}, and https://.*/{file} could not be fetched .*; "
        f"put it at '{path}', give its path, or use 'none'"
    )
    with pytest.raises(UserError, match=f"^{words.replace('+', '[+]')}$"):
        build_video_backbone(name, RGB, 4, weights, input_size=32)
    path.write_bytes(b"damaged")
    digest = hashlib.sha256(b"damaged").hexdigest()
    with pytest.raises(UserError, match=rf"'{path}' has sha256 {digest}, not [0-9a-f]{{8}}: fetch the file again"):
        build_video_backbone(name, RGB, 4, weights, input_size=32)


def test_words_that_are_no_weights_of_the_network_are_one_line() -> None:
    for name, own in (("c3d", "sports1m"), ("r2plus1d_34", "ig65m+kinetics"), ("torchvision/mc3_18", "kinetics")):
        words = f"model.weights: 'imagenet' is neither a file nor weights of '{name}'; allowed are none, {own} or a"
        with pytest.raises(UserError, match=f"^{re.escape(words)} state dict's path$"):
            build_video_backbone(name, RGB, 4, "imagenet", input_size=32)


@pytest.mark.parametrize(
    ("name", "frames", "size", "width", "words"),
    [
        (
            "torchvision/s3d",
            8,
            32,
            1.0,
            "model.input_size: 32, with 8 frames, does not suit 'torchvision/s3d': Expected",
        ),
        (
            "r2plus1d_18",
            8,
            16,
            1.0,
            "model.input_size: 16, with 8 frames, does not suit 'r2plus1d_18': Expected more than",
        ),
        ("torchvision/mvit_v2_s", 8, 224, 1.0, "model.input_size: 224, with 8 frames, does not suit"),
        (
            "torchvision/s3d",
            16,
            32,
            0.5,
            "model.width: 0.5 does not suit 'torchvision/s3d', which is no ResNet; use 1.0",
        ),
        ("torchvision/resnet18", 4, 32, 1.0, "model.backbone: 'torchvision/resnet18' is no network of videos; allowed"),
        ("bninception", 4, 32, 1.0, "model.backbone: 'bninception' is no network of videos; allowed are c3d, "),
    ],
)
def test_what_does_not_suit_a_network_is_one_line(name: str, frames: int, size: int, width: float, words: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(words)}") as caught:
        build_video_backbone(name, RGB, frames, "none", width, size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", models.list_models(module=models.video))
def test_torchvisions_video_networks_lose_their_classifier_and_nothing_else(name: str) -> None:
    size = 224 if name.startswith("mvit") or name == "s3d" else 112
    backbone = build_video_backbone(f"torchvision/{name}", RGB, 16, "none", 1.0, size)
    published = models.get_model_weights(name).KINETICS400_V1.meta["num_params"]
    assert parameters(backbone) + 400 * (backbone.num_features + 1) == published


@pytest.mark.parametrize(("frames", "height"), [(16, 7), (32, 9), (16, 1), (8, 3)])
def test_s3d_pools_as_torchvision_and_takes_smaller_maps(frames: int, height: int) -> None:
    maps = torch.rand(2, 5, frames // 8, height, height)
    pooled = MeanOfWindows()(maps)
    if frames >= 16 and height >= 7:
        assert torch.equal(pooled, models.video.s3d(num_classes=1).avgpool(maps))
    else:
        torch.testing.assert_close(pooled, maps.mean((2, 3, 4), keepdim=True))


def test_s3d_from_random_weights_learns_the_statistics_of_its_batch_norms() -> None:
    """With torchvision's momentum they would still be near their initial values when a short training ends."""
    torch.manual_seed(0)
    backbone = build_video_backbone("torchvision/s3d", RGB, 16, "none", 1.0, 32).train()
    norm = next(module for module in backbone.modules() if isinstance(module, nn.BatchNorm3d))
    seen: list[Tensor] = []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].mean((0, 2, 3, 4))))
    with torch.no_grad():
        for _ in range(40):
            backbone(images_of(backbone, 2, 32))
    torch.testing.assert_close(norm.running_mean, seen[-1], rtol=0.02, atol=1e-4)


def test_trying_a_network_changes_neither_it_nor_what_is_drawn_after_it() -> None:
    torch.manual_seed(0)
    backbone = build_video_backbone("torchvision/swin3d_t", RGB, 2, "none", 1.0, 32)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    models.get_model("swin3d_t")
    assert torch.equal(torch.rand(3), drawn)
    backbone = build_video_backbone("r2plus1d_18", RGB, 4, "none", 0.1, 32)
    counts = [value for name, value in backbone.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts
    assert not any(counts)
    assert backbone.training


def test_frozen_batch_norms_of_volumes_change_nothing_in_evaluation() -> None:
    torch.manual_seed(0)
    backbone = build_video_backbone("r2plus1d_34", FLOW, 4, "none", 0.1, 32)
    shaken(backbone)
    images = images_of(backbone, 3, 32)
    expected = backbone.eval()(images)
    freeze_batch_norms(backbone)
    torch.testing.assert_close(backbone.eval()(images), expected, rtol=1e-4, atol=1e-4)
    left = [name for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm3d)]
    assert left == ["network.stem.1"]


def test_micro_batches_of_volumes_give_the_gradients_and_statistics_of_the_whole_batch() -> None:
    def trained(most: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        backbone = build_video_backbone("r2plus1d_18", FLOW, 4, "none", 0.1, 32)
        shaken(backbone).double()
        freeze_batch_norms(backbone)
        images = images_of(backbone, 5, 32).double()
        features = micro_batch_features(backbone.train(), images, most) if most else backbone.train()(images)
        (features**2).sum().backward()
        buffers = {key: value.double() for key, value in backbone.named_buffers()}
        gradients = {key: p.grad for key, p in backbone.named_parameters() if p.grad is not None}
        return {"features": features.detach()} | buffers | gradients

    whole, parts = trained(0), trained(2)
    assert parts.keys() == whole.keys()
    for key, expected in whole.items():
        torch.testing.assert_close(parts[key], expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
