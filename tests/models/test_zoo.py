"""Networks of timm and torchvision: features without classifier, their weights' files, and what is refused."""

import hashlib
import re
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]

from stp.errors import UserError
from stp.models import zoo
from stp.models.backbones import build_backbone, inflate_first_convolution, weights_report
from tests.damage import flipped

TORCHVISION = ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_x_400mf"]


def fetched(*arguments: object, **options: object) -> None:
    raise OSError("Network is unreachable\nmore")


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_lose_their_classifier_and_nothing_else(name: str) -> None:
    backbone = build_backbone(f"torchvision/{name}", 3, False)
    classifier = 1000 * (backbone.num_features + 1)
    published = models.get_model_weights(name).IMAGENET1K_V1.meta["num_params"]
    assert sum(parameter.numel() for parameter in backbone.parameters()) + classifier == published
    assert not any(isinstance(module, nn.Dropout) for module in backbone.modules())
    flow = build_backbone(f"torchvision/{name}", 10, True).eval()
    assert flow(torch.zeros(2, 10, 64, 64)).shape == (2, flow.num_features)


def test_only_the_dropout_just_before_the_classifier_goes() -> None:
    network = nn.Sequential(
        nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2)
    )
    assert zoo.remove_classifier(network) == ("5", 5)
    assert [type(module) for module in list(network)[1:]] == [nn.Dropout, nn.Linear, nn.ReLU, nn.Identity, nn.Identity]


def inner(network: nn.Module, classifier: nn.Module, images: Tensor) -> Tensor:
    """The input of a network's classifier."""
    taken = []
    classifier.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0]))
    with torch.inference_mode():
        network.eval()(images)
    return taken[0]


def test_googlenet_file_gives_torchvisions_features_without_auxiliary_heads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = models.googlenet(weights=None, aux_logits=True, transform_input=True, init_weights=False)
    torch.save(whole.state_dict(), tmp_path / "own.pth")
    backbone = build_backbone("torchvision/googlenet", 3, False, str(tmp_path / "own.pth")).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64)).float()
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    expected = inner(whole, whole.fc, (images / 255 - mean) / std)
    torch.testing.assert_close(backbone(images), expected, rtol=1e-4, atol=1e-5)
    assert backbone.loaded is not None
    assert {name.split(".")[0] for name in backbone.loaded.tensors_left_out} == {"aux1", "aux2", "fc"}


@pytest.mark.parametrize("name", ["mnasnet0_5", "densenet121"])
def test_torchvisions_own_files_load(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNASNet's files carry a version; DenseNet's are older than the names of its layers."""
    torch.manual_seed(0)
    whole = models.get_model(name)
    state = whole.state_dict()
    for key in list(state):
        state[re.sub(r"(denselayer\d+\.\w+)([12]\.)", r"\1.\2", key)] = state.pop(key)
    torch.save(state, tmp_path / "own.pth")
    monkeypatch.setattr(zoo, "hub_file", lambda url: tmp_path / "own.pth")
    backbone = build_backbone(f"torchvision/{name}", 3, False, "imagenet")
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in backbone.network.state_dict().items())


def test_hub_files_are_checked_and_fetched_only_where_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetched)
    name = f"own-{hashlib.sha256(b'weights').hexdigest()[:8]}.pth"
    path = tmp_path / "checkpoints" / name
    with pytest.raises(UserError, match=rf"needs the file {name}, and .*Network is unreachable\); put it at '{path}'"):
        zoo.hub_file(f"https://example.org/models/{name}")
    path.write_bytes(b"weights")
    assert zoo.hub_file(f"https://example.org/models/{name}") == path
    path.write_bytes(b"other")
    with pytest.raises(UserError, match="fetch the file again"):
        zoo.hub_file(f"https://example.org/models/{name}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("r3d_18", "does not classify images"),
        ("fasterrcnn_resnet50_fpn", "does not classify images"),
        ("deeplabv3_resnet50", "does not classify images"),
        ("quantized_resnet18", "does not classify images"),
        ("resnet19", "is unknown"),
    ],
)
def test_other_networks_of_torchvision_are_refused(name: str, words: str) -> None:
    with pytest.raises(
        UserError, match=rf"'torchvision/{name}' {words}; allowed are .* as torchvision/resnet18"
    ) as caught:
        build_backbone(f"torchvision/{name}", 3, False)
    assert str(caught.value).endswith("video_network takes it") == (name == "r3d_18")


def test_names_without_imagenet_weights_say_so() -> None:
    with pytest.raises(UserError, match="torchvision has no IMAGENET1K_V1 weights for 'vit_h_14'"):
        build_backbone("torchvision/vit_h_14", 3, False, "imagenet")
    with pytest.raises(UserError, match="timm has none for 'cs3darknet_s'"):
        build_backbone("cs3darknet_s", 3, False, "imagenet")
    with pytest.raises(UserError, match=r"model.backbone: 'resnet18.mine': Invalid pretrained tag"):
        build_backbone("resnet18.mine", 3, False)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "levit_128s"])
def test_timm_files_load_without_their_classifier(name: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole, path = timm.create_model(name, num_classes=5), tmp_path / f"own{suffix}"
    save_file(whole.state_dict(), path) if suffix == ".safetensors" else torch.save(whole.state_dict(), path)
    backbone = build_backbone(name, 3, False, str(path))
    state = backbone.network.state_dict()
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in state.items())
    assert backbone.loaded is not None
    assert backbone.loaded.tensors_loaded == len(state)
    assert set(backbone.loaded.tensors_left_out) == whole.state_dict().keys() - state.keys()


def test_timm_networks_that_widen_their_features_work() -> None:
    backbone = build_backbone("mobilenetv3_small_050", 3, False, input_size=64).eval()
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, backbone.num_features)


def test_weights_do_not_change_what_is_drawn_after_them(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "own.pth")
    drawn = []
    for weights in ("none", str(tmp_path / "own.pth")):
        torch.manual_seed(0)
        build_backbone("test_resnet", 3, False, weights, input_size=64)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_timms_imagenet_weights_come_from_its_cache_or_say_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fetched)
    words = (
        r"needs the file model.safetensors of huggingface.co/timm/test_resnet.r160_in1k, which .*unreachable\); "
        rf"give its path, copy the folder models--timm--test_resnet.r160_in1k of .* cache to '{tmp_path}'"
    )
    with pytest.raises(UserError, match=words) as caught:
        build_backbone("test_resnet", 3, False, "imagenet")
    assert "\n" not in str(caught.value)
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / "1").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1")
    whole = timm.create_model("test_resnet")
    save_file(whole.state_dict(), folder / "snapshots" / "1" / "model.safetensors")
    backbone = build_backbone("test_resnet", 3, False, "imagenet")
    assert torch.equal(backbone.network.get_parameter("conv1.0.weight"), whole.get_parameter("conv1.0.weight"))
    assert backbone.loaded is not None
    assert backbone.loaded.file.endswith("model.safetensors")


@pytest.mark.parametrize("name", ["torchvision/resnet18", "test_resnet", "convnet", "bninception"])
def test_files_of_other_kinds_give_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pth"
    contents = {
        r"'epoch' is no tensor": {"epoch": 3, "state_dict": {}},
        r"holds a list, not": [torch.zeros(1)],
        r"loads safely: it holds more than tensors": Path("code"),
        r"does not fit the network: (Missing|Unexpected) key": {"encoder.weight": torch.zeros(2, 2)},
    }
    for words, content in contents.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=rf"^model.weights: '{path}' .*{words}") as caught:
            build_backbone(name, 3, False, str(path))
        assert "\n" not in str(caught.value)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    for name, whole in (("torchvision/resnet18", models.resnet18()), ("resnet18", timm.create_model("resnet18"))):
        torch.save(whole.state_dict() | {"layer1.0.conv1.weight": torch.zeros(64, 32, 3, 3)}, tmp_path / "own.pth")
        with pytest.raises(UserError, match=r"does not fit the network: size mismatch for layer1.0.conv1.weight"):
            build_backbone(name, 3, False, str(tmp_path / "own.pth"))


@pytest.mark.parametrize(
    ("name", "size"),
    [("torchvision/squeezenet1_1", 16), ("vit_tiny_patch16_224", 32), ("bninception", 100), ("vgg11", 16)],
)
def test_input_sizes_that_do_not_suit_a_network_are_one_line(name: str, size: int) -> None:
    with pytest.raises(UserError, match=rf"model.input_size: {size} does not suit '{name}': \w") as caught:
        build_backbone(name, 3, False, width=1.0, input_size=size)
    assert "\n" not in str(caught.value)


def test_networks_that_do_not_begin_with_rgb_are_refused_for_flow() -> None:
    for network in (nn.Sequential(nn.Conv2d(48, 8, 3)), nn.Sequential(nn.Linear(3, 3))):
        with pytest.raises(UserError, match="takes RGB only"):
            inflate_first_convolution(network, 10)


def test_report_names_file_and_tensors(tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    torch.save(models.resnet18().state_dict(), path)
    report = weights_report("torchvision/resnet18", str(path), 1.0, 64)
    assert report["file"] == str(path)
    assert report["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["tensors_loaded"] == 120
    assert report["tensors_left_out"] == ["fc.weight", "fc.bias"]
    assert report["parameters"] == 11_689_512 - 513_000
    random = weights_report("torchvision/resnet18", "none", 1.0, 64)
    assert random.keys() == report.keys() - {"file", "file_sha256", "tensors_loaded", "tensors_left_out"}
    assert random["sha256"] != report["sha256"]


def test_weights_of_a_damaged_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(flipped(content, 8 * (len(content) // 2)))
    with pytest.raises(UserError, match=r"own.pth' is not a state dict that loads safely: wrong checksum of own/data/"):
        build_backbone("test_resnet", 3, False, str(path))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, suffix: str) -> None:
    path, state = tmp_path / f"own{suffix}", timm.create_model("test_resnet").state_dict()
    state["conv1.0.weight"][0, 0, 0, 0] = torch.nan
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    with pytest.raises(UserError, match=rf"own{suffix}' has NaN or infinite values in 'conv1.0.weight'"):
        build_backbone("test_resnet", 3, False, str(path))
