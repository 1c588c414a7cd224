"""Frozen features: a pre-trained backbone on images spread evenly over the clip, in the centre crop.

A flow image is a stack of 5 fields, which the backbone can take thanks to cross-modality initialisation (TSN).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from stp.config import Views, check_range
from stp.data.modalities import MODALITIES, Modality
from stp.data.shards import ClipFields
from stp.errors import keys_named
from stp.features import Features
from stp.models.backbones import Backbone, build_backbone
from stp.sampling.loading import open_fields
from stp.sampling.samples import scored_segments
from stp.sampling.segments import SegmentSampler
from stp.system.devices import Compute
from stp.system.progress import progress


@dataclass(frozen=True)
class FrozenOptions:
    """The backbone, and how many images of a clip it sees; the default weights come with an installed package."""

    backbone: str = "efficientnet_lite0"
    weights: str = "imagenet"
    width: float = 1.0
    input_size: int = 112  # pixels
    images: int = 16
    flow_fields: int = 5

    def __post_init__(self) -> None:
        check_range("images", [self.images], 1, 1000)
        check_range("flow_fields", [self.flow_fields], 1, 100)


def network(options: FrozenOptions, modality: Modality = MODALITIES["rgb"]) -> Backbone:
    """The backbone for a modality's images, in evaluation mode.

    Raises:
        UserError: as `stp.models.backbones.build_backbone` raises.
    """
    stack = options.flow_fields if modality.is_flow else 1
    channels = modality.channels * stack
    torch.manual_seed(0)  # for weights: none, which are drawn
    with keys_named("features.frozen", ("backbone", "weights", "width", "input_size")):
        backbone = build_backbone(
            options.backbone, channels, modality.is_flow, options.weights, options.width, options.input_size
        )
    return backbone.eval()


@torch.inference_mode()
def extract(
    options: FrozenOptions, sources: Mapping[str, ClipFields], compute: Compute
) -> Iterator[tuple[str, np.ndarray]]:
    """The id and the features, float32 (images, D), of each clip."""
    (fields,) = sources.values()
    modality = MODALITIES[fields.modality]
    stack = options.flow_fields if modality.is_flow else 1
    backbone = network(options, modality).to(compute.device)
    sampler = SegmentSampler(1, options.flow_fields, 1, options.flow_fields, stack, frame="first")
    clips = fields.clips()
    source = open_fields(fields, clips, compute.device, compute.resident, compute.memory_share)
    for clip in progress(clips, desc=f"features of {fields.modality}", unit="clip"):
        seen = scored_segments(fields, clip, sampler, Views(options.images, 1))
        images = torch.cat(list(source.images([seen.views], options.input_size)))
        yield clip, backbone(images).float().cpu().numpy()[seen.places[:, 0]]


FEATURES = Features(FrozenOptions, extract, network)
