"""C3D's features (Tran et al., ICCV 2015): fc6 of overlapping clips of 16 frames, in the centre crop.

Clips begin at fields 0, 8, 16, ... and lie within the video, so that up to 7 of its last frames are in none. A video
that is shorter than a clip repeats its last field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from stp.config import PUBLISHED, check_range
from stp.data.modalities import MODALITIES, Modality
from stp.data.shards import ClipFields
from stp.errors import UserError, keys_named
from stp.features import Features
from stp.models.c3d import C3D, initialise_as_he
from stp.models.video_backbones import VideoBackbone, build_video_backbone
from stp.sampling.crops import fixed_crops
from stp.sampling.loading import open_fields
from stp.sampling.samples import Sample
from stp.system.devices import Compute
from stp.system.progress import progress

OWN = PUBLISHED["c3d"]
CLIPS_AT_ONCE = 16


@dataclass(frozen=True)
class C3DFeatureOptions:
    """The network, the number of frames of a clip, and how many of them are also in the next clip.

    Random weights, `weights: none`, begin as published, or as He et al. (2015) propose: `initial`.
    """

    weights: str = OWN["weights"]
    width: float = OWN["width"]
    input_size: int = OWN["input_size"]  # pixels
    initial: Literal["published", "he"] = "published"
    frames: int = 16
    overlap: int = 8

    def __post_init__(self) -> None:
        check_range("frames", [self.frames], 1, 1000)
        if not 0 <= self.overlap < self.frames:
            raise UserError(
                f"config: option overlap: {self.overlap} is not allowed; allowed: 0 to {self.frames - 1}, less than "
                "the frames of a clip"
            )


def network(options: C3DFeatureOptions, modality: Modality = MODALITIES["rgb"]) -> VideoBackbone:
    """C3D for clips of a modality, in evaluation mode.

    Raises:
        UserError: as `stp.models.video_backbones.build_video_backbone` raises.
    """
    torch.manual_seed(0)  # for weights: none, which are drawn
    with keys_named("features.c3d", ("weights", "width", "input_size")):
        backbone = build_video_backbone(
            OWN["backbone"], modality, options.frames, options.weights, options.width, options.input_size
        )
    if options.initial == "he" and options.weights == "none":
        initialise_as_he(backbone.network)
    return backbone.eval()


def clips_of(length: int, options: C3DFeatureOptions) -> np.ndarray:
    """The fields of each clip of a video of `length` fields: int64 (clips, frames)."""
    starts = np.arange(0, max(1, length - options.frames + 1), options.frames - options.overlap)
    return np.minimum(starts[:, None] + np.arange(options.frames), length - 1)


@torch.inference_mode()
def extract(
    options: C3DFeatureOptions, sources: Mapping[str, ClipFields], compute: Compute
) -> Iterator[tuple[str, np.ndarray]]:
    """The id and the features of each video, float32 (clips, 4096 x width)."""
    (fields,) = sources.values()
    backbone = network(options, MODALITIES[fields.modality]).to(compute.device)
    c3d = backbone.network
    assert isinstance(c3d, C3D)
    videos = fields.clips()
    source = open_fields(fields, videos, compute.device, compute.resident, compute.memory_share)
    for video in progress(videos, desc=f"C3D features of {fields.modality}", unit="clip"):
        length, _, height, width = fields.shape(video)
        (crop,) = fixed_crops(height, width, 1)
        clips = clips_of(length, options)
        parts = np.array_split(clips, -(-len(clips) // CLIPS_AT_ONCE))
        batches = [[Sample(video, part, crop)] for part in parts]
        features = [c3d.fc6_features(backbone.volume(images)) for images in source.images(batches, options.input_size)]
        yield video, torch.cat(features).float().cpu().numpy()


FEATURES = Features(C3DFeatureOptions, extract, network)
