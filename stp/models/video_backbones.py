"""Video backbones: networks that turn a stack of T frames of 0..255 into one feature vector.

    c3d                        C3D (`stp.models.c3d`)
    r2plus1d_34, r2plus1d_18   R(2+1)D (`stp.models.r2plus1d`)
    torchvision/NAME           any of torchvision's video networks

`weights` is `none` (random), a name of public weights that the network has, or the path of a state dict. Public files
are read from torch's cache, or fetched if they are not there, and their checksums are verified.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]
from torchvision.models.video import S3D, VideoResNet  # type: ignore[import-untyped]

from stp.data.modalities import Modality
from stp.errors import UserError
from stp.models.backbones import Backbone, inflate_first_convolution
from stp.models.c3d import C3D
from stp.models.dry_pass import dry_pass
from stp.models.feature_network import FeatureNetwork, InputFormat
from stp.models.r2plus1d import R2Plus1D
from stp.models.stacks import split_frames
from stp.models.state_dicts import LoadedWeights, first_line, leave_out, load_state, read_state, sha256_of
from stp.models.width import multiply_channels
from stp.models.zoo import hub_file, remove_classifier

OWN = ("c3d", "r2plus1d_34", "r2plus1d_18")
# mmaction2 subtracts these means from R, G, B for its file of C3D; the publication subtracts a mean volume.
C3D_FORMAT = InputFormat((104, 117, 128), (1, 1, 1))
KINETICS_FORMAT = InputFormat.of_unit_range((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
MMACTION2 = "https://download.openmmlab.com/mmaction/recognition/"
IG65M = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/"
# Weights that a network has, by their names in the config; torchvision's networks have `kinetics`.
PUBLIC_FILES: Mapping[str, Mapping[str, str]] = {
    "c3d": {"sports1m": f"{MMACTION2}c3d/c3d_sports1m_pretrain_20201016-dcc47ddc.pth"},
    "r2plus1d_34": {"ig65m+kinetics": f"{IG65M}r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth"},
    "r2plus1d_18": {"kinetics": "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth"},
}
MVIT_FRAMES, MVIT_SIZE = 16, 224  # the only ones that torchvision's MViTs take


class MeanOfWindows(nn.Module):
    """S3D's means of windows of 2 x 7 x 7 positions, or of as many as a map of small clips has."""

    def forward(self, maps: Tensor) -> Tensor:
        window = [min(most, side) for most, side in zip((2, 7, 7), maps.shape[2:], strict=True)]
        return nn.functional.avg_pool3d(maps, window, stride=1)


class VideoBackbone(Backbone):
    """A video network behind its input format: (B, T * C, H, W) float 0..255 -> (B, num_features).

    `channels` C is 3 for RGB and 2 for flow.
    """

    def __init__(self, made: FeatureNetwork, frames: int, modality: Modality) -> None:
        super().__init__(made, modality.is_flow)
        self.frames, self.channels = frames, modality.channels

    def volume(self, images: Tensor) -> Tensor:
        """Stacked images (B, T * C, H, W) as the network's input (B, C, T, H, W)."""
        (frames,) = split_frames(images, self.frames, (self.channels,))
        return self.normalised(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(1, 2).contiguous()

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(self.volume(images))
        return features

    @property
    def map_channels(self) -> int:
        """D, the number of channels of the last map; UserError if the network has no map of 3D convolutions."""
        if isinstance(self.network, C3D):
            return self.network.map_channels
        if isinstance(self.network, (R2Plus1D, VideoResNet, S3D)):
            return self.num_features
        raise UserError(
            "model.backbone: this network has no last map of 3D convolutions; use one of "
            f"{', '.join(OWN)}, torchvision/r3d_18, torchvision/mc3_18, torchvision/r2plus1d_18, torchvision/s3d"
        )

    def last_map(self, images: Tensor) -> Tensor:
        """The last map before the network's own pooling: (B, T * C, H, W) -> (B, D, t, h, w)."""
        network, x = self.network, self.volume(images)
        stages: tuple[Callable[[Tensor], Tensor], ...]
        if isinstance(network, VideoResNet):
            stages = (network.stem, network.layer1, network.layer2, network.layer3, network.layer4)
        elif isinstance(network, S3D):
            stages = (network.features,)
        else:
            assert isinstance(network, (C3D, R2Plus1D))
            stages = (network.last_map,)
        for stage in stages:
            x = stage(x)
        return x


def build_video_backbone(
    name: str, modality: Modality, frames: int, weights: str = "none", width: float = 1.0, input_size: int = 112
) -> VideoBackbone:
    """The backbone `name` for stacks of `frames` frames of a modality, `input_size` pixels high and wide.

    `width` multiplies the channels of `c3d`, `r2plus1d` and torchvision's ResNets. Flow networks start from the RGB
    weights by cross-modality initialisation (TSN): each kernel of the first convolution becomes the mean of those of R,
    G and B.

    Raises:
        UserError: the name is unknown; the weights are absent or do not fit; the frames or their size do not suit the
            network.
    """
    if name not in OWN and not name.startswith("torchvision/"):
        raise _unknown(name)
    if name == "c3d":
        made = _c3d(weights, frames, input_size, width)
    elif name in OWN:
        made = _r2plus1d(name, weights, width)
    else:
        made = _torchvision(name, weights, frames, input_size, width)
    if modality.is_flow:
        inflate_first_convolution(made.network, modality.channels)
    backbone = VideoBackbone(made, frames, modality)
    _check_size(backbone, name, input_size)
    return backbone


def _unknown(name: str) -> UserError:
    allowed = [*OWN, *(f"torchvision/{known}" for known in models.list_models(module=models.video))]
    return UserError(f"model.backbone: '{name}' is no network of videos; allowed are {', '.join(allowed)}")


def _check_size(backbone: VideoBackbone, name: str, size: int) -> None:
    """Raise a UserError unless the network turns a stack of this size into a feature vector.

    Only shapes are computed, because a pass through such a network takes seconds; those of a training, in which a
    batch norm needs several values of each channel of a single video.
    """
    try:
        shape = dry_pass(backbone, (1, backbone.frames * backbone.channels, size, size)).shape
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"model.input_size: {size}, with {backbone.frames} frames, does not suit '{name}': {first_line(error)}"
        ) from None
    assert shape == (1, backbone.num_features)


def _public_file(name: str, weights: str, files: Mapping[str, str]) -> Path:
    """The file of weights, a path or a name in `files` (name -> URL); UserError if they are neither."""
    if weights in files:
        return hub_file(files[weights], weights)
    if not Path(weights).is_file():
        raise UserError(
            f"model.weights: '{weights}' is neither a file nor weights of '{name}'; allowed are none, "
            f"{', '.join(files)} or a state dict's path"
        )
    return Path(weights)


def _load(network: nn.Module, state: dict[str, Tensor], path: Path, classifier: str) -> LoadedWeights:
    left_out = leave_out(state, (classifier,), network)
    load_state(network, state, path)
    return LoadedWeights(str(path), sha256_of(path), len(state), left_out)


def _c3d(weights: str, frames: int, size: int, width: float) -> FeatureNetwork:
    network, loaded = C3D(3, frames, size, width), None
    if weights != "none":
        path = _public_file("c3d", weights, PUBLIC_FILES["c3d"])
        # mmaction2's names are `conv1a.conv.weight`; its checkpoints hold them under `state_dict`.
        state = {key.replace(".conv.", "."): value for key, value in read_state(path, "state_dict").items()}
        loaded = _load(network, state, path, "fc8")
    return FeatureNetwork(network, network.num_features, C3D_FORMAT, loaded)


def _r2plus1d(name: str, weights: str, width: float) -> FeatureNetwork:
    network, loaded = R2Plus1D(int(name.removeprefix("r2plus1d_")), 3, width), None
    if weights != "none":
        path = _public_file(name, weights, PUBLIC_FILES[name])
        loaded = _load(network, read_state(path), path, "fc")
    return FeatureNetwork(network, network.num_features, KINETICS_FORMAT, loaded)


def _torchvision(name: str, weights: str, frames: int, size: int, width: float) -> FeatureNetwork:
    plain = name.removeprefix("torchvision/")
    if plain not in models.list_models(module=models.video):
        raise _unknown(name)
    entry = models.get_model_weights(plain).KINETICS400_V1
    if plain.startswith("mvit") and (frames, size) != (MVIT_FRAMES, MVIT_SIZE):
        raise UserError(
            f"model.input_size: {size}, with {frames} frames, does not suit '{name}', whose positions are those of "
            f"{MVIT_FRAMES} frames of {MVIT_SIZE} pixels"
        )
    network = models.get_model(plain, weights=None)
    multiply_channels(network, name, width)
    if isinstance(network, S3D):
        network.avgpool = MeanOfWindows()
        if weights == "none":
            for module in network.modules():
                if isinstance(module, nn.BatchNorm3d):
                    module.momentum = 0.1  # S3D's thousandth stays near the initial statistics for thousands of steps
    classifier, features = remove_classifier(network)
    loaded = None
    if weights != "none":
        path = _public_file(name, weights, {"kinetics": entry.url})
        loaded = _load(network, read_state(path), path, classifier)
    transforms = entry.transforms()
    return FeatureNetwork(network, features, InputFormat.of_unit_range(transforms.mean, transforms.std), loaded)
