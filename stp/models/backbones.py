"""Backbones: networks that turn an image of 0..255 into a feature vector, with their input format and weights.

`weights` is `none` (random), `imagenet`, or the path of a state dict. ImageNet weights of EfficientNet-Lite0 come with
an installed package. BN-Inception's are a public file that the user puts into torch's cache. Those of timm's and
torchvision's networks are read from these libraries' caches, and fetched if they are not there.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stp.errors import UserError
from stp.models.bninception import BNInception
from stp.models.convnet import ConvNet
from stp.models.feature_network import FeatureNetwork, InputFormat
from stp.models.state_dicts import LoadedWeights, check_sha256, first_line, leave_out, load_state, read_state, sha256_of
from stp.models.zoo import timm_network, torchvision_network
from stp.sampling.batch_rendering import Normalisation

BN_INCEPTION_FILE = "bn_inception-52deb4733.pth"
BN_INCEPTION_SHA256 = "52deb473314542a5c2f87e9e6f26f4ca42fe863d15f986414dbae8c2dfdd2353"


BN_INCEPTION_FORMAT = InputFormat((128, 117, 104), (1, 1, 1), bgr=True)
CENTRED_FORMAT = InputFormat((128, 128, 128), (64, 64, 64))


class Backbone(nn.Module):
    """A feature network behind its input format: (B, C, H, W) float 0..255, RGB or flow -> (B, num_features).

    Images in bfloat16 have gone through `normalisation` already.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, made: FeatureNetwork, is_flow: bool) -> None:
        super().__init__()
        self.network, self.num_features, input_format, self.loaded = made
        self.bgr = input_format.bgr and not is_flow
        # Quantised flow is centred on 128 (TSN); its scale is the one that the first kernel was trained on.
        mean = (128.0,) if is_flow else input_format.mean
        std = (sum(input_format.std) / 3,) if is_flow else input_format.std
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    @property
    def normalisation(self) -> Normalisation:
        """The network's input format, for images that go through it as they are made."""
        return Normalisation(self.mean.view(-1), self.std.view(-1), self.bgr)

    def normalised(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) of 0..255 in the network's input format."""
        if images.dtype == torch.bfloat16:
            return images
        images = (images - self.mean) / self.std
        return images.flip(1) if self.bgr else images

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(self.normalised(images))
        return features


def build_backbone(
    name: str, channels: int, is_flow: bool, weights: str = "none", width: float = 1.0, input_size: int | None = None
) -> Backbone:
    """The backbone `name` for images of `channels` channels; with `input_size`, it is tried on an image of that size.

    `torchvision/NAME` is a network of torchvision, every name but that, `bninception` and `convnet` one of timm. These
    two and torchvision's ResNets take a `width`. Flow networks start from the RGB weights by cross-modality
    initialisation.

    Raises:
        UserError: the name is unknown, the weights are absent or do not fit, or the network cannot take the input size.
    """
    if name == "bninception":
        made = _bninception(weights, width)
    elif name == "convnet":
        made = _convnet(weights, width)
    elif name.startswith("torchvision/"):
        made = torchvision_network(name.removeprefix("torchvision/"), weights, width)
    elif width != 1.0:
        raise UserError(
            f"model.width: {width} does not suit '{name}'; use 1.0, or bninception, convnet or a ResNet of torchvision"
        )
    else:
        made = timm_network(name, weights)
    if is_flow:
        inflate_first_convolution(made.network, channels)
    backbone = Backbone(made, is_flow)
    if input_size is not None:
        _check_input_size(backbone, name, channels, input_size)
    return backbone


@torch.no_grad()
def _check_input_size(backbone: Backbone, name: str, channels: int, size: int) -> None:
    """Raise a UserError unless the network turns an image of this size into a feature vector."""
    try:
        shape = backbone.eval()(torch.zeros(1, channels, size, size)).shape
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"model.input_size: {size} does not suit '{name}': {first_line(error)}") from None
    if shape != (1, backbone.num_features):
        raise UserError(f"model.backbone: '{name}' turns an image into {tuple(shape[1:])} values, not a feature vector")
    backbone.train()


def inflate_first_convolution(network: nn.Module, channels: int) -> None:
    """Cross-modality initialisation (TSN): every channel's kernel becomes the mean of the RGB kernels."""
    kinds = (nn.Conv2d, nn.Conv3d)
    name, first = next(((n, m) for n, m in network.named_modules() if isinstance(m, kinds)), ("", None))
    if first is None or first.in_channels != 3:
        raise UserError("model.backbone: takes RGB only, because its first layer is not a convolution of 3 channels")
    with torch.no_grad():
        kernel = first.weight.mean(1, keepdim=True).repeat_interleave(channels, 1)
    first.in_channels = channels
    network.get_submodule(name).weight = nn.Parameter(kernel)


def weights_report(name: str, weights: str, width: float, input_size: int | None = None) -> dict[str, Any]:
    """Build the RGB backbone and report its initial weights.

    The report has the number of parameters and a sha256 of all tensors in order. For weights from a file it also has
    the file's path and sha256, the number of tensors loaded, and the names of those left out (the classifier's).
    """
    torch.manual_seed(0)
    backbone = build_backbone(name, 3, False, weights, width, input_size)
    digest = hashlib.sha256()
    for value in backbone.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    report = {"backbone": name, "weights": weights, "width": width}
    report |= backbone.loaded._asdict() if backbone.loaded else {}
    return report | {"parameters": parameters, "sha256": digest.hexdigest()}


def _convnet(weights: str, width: float) -> FeatureNetwork:
    network, loaded = ConvNet(3, width), None
    if weights == "imagenet":
        raise UserError("model.weights: 'imagenet' does not exist for the backbone 'convnet'; use 'none'")
    if weights != "none":
        state = read_state(Path(weights))
        load_state(network, state, Path(weights))
        loaded = LoadedWeights(weights, sha256_of(Path(weights)), len(state), [])
    return FeatureNetwork(network, network.num_features, CENTRED_FORMAT, loaded)


def bninception_path() -> Path:
    """The path of BN-Inception's public file of ImageNet weights in torch's cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / BN_INCEPTION_FILE


def _bninception(weights: str, width: float) -> FeatureNetwork:
    network, loaded, path = BNInception(3, width), None, Path(weights)
    if weights == "imagenet":
        path = bninception_path()
        if not path.is_file():
            raise UserError(
                f"model.weights: 'imagenet' for bninception needs the public file {BN_INCEPTION_FILE} at '{path}'; "
                "put it there, give its path, or use 'none'"
            )
        check_sha256(path, BN_INCEPTION_SHA256)
    if weights != "none":
        loaded = load_bninception_file(network, path)
    return FeatureNetwork(network, network.num_features, BN_INCEPTION_FORMAT, loaded)


def load_bninception_file(network: BNInception, path: Path) -> LoadedWeights:
    """Load a state dict in the public file's form: batch norms have tensors (1, C); the classifier is left out."""
    state, own = read_state(path), network.state_dict()
    left_out, loaded = leave_out(state, ["last_linear"], network), len(state)
    for key, value in state.items():
        if key in own and value.shape == (1, *own[key].shape):
            state[key] = value[0]
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, value)
    load_state(network, state, path)
    return LoadedWeights(str(path), sha256_of(path), loaded, left_out)
