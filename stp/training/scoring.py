"""Scoring: a trained run's scores of its test clips, over fixed segments and crops (paper section 4.1, TSN).

Segments overlap, so each distinct sub-segment passes the backbone only once a crop, and the pyramid with its classifier
is applied as what it is: one linear map for each sub-segment of a segment.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from stp.data.index import Clip
from stp.data.shards import ClipFields
from stp.evaluation.scores import Scores
from stp.models.pyramid import TemporalPyramidNetwork, subsegment_maps
from stp.sampling.loading import MEMORY_SHARE, DeviceFields, Residence, open_fields
from stp.sampling.samples import Sample, ScoredSegments, scored_segments
from stp.system.devices import autocast
from stp.system.progress import progress
from stp.training.run import Run

IMAGES_AT_ONCE = 128
IMAGES_AT_ONCE_ON_GPU = 256


def divide(views: Iterable[Sample], most: int) -> Iterator[list[Sample]]:
    """Batches of at most so many images, each of one view."""
    for view in views:
        for first in range(0, len(view.indices), most):
            yield [Sample(view.clip, view.indices[first : first + most], view.crop)]


def pack(views: Iterable[Sample], number: int) -> Iterator[list[Sample]]:
    """Batches of exactly so many images, across views and clips, but for the last: a GPU is tuned to one shape."""
    batch: list[Sample] = []
    room = number
    for view in views:
        first = 0
        while first < len(view.indices):
            chosen = view.indices[first : first + room]
            batch.append(Sample(view.clip, chosen, view.crop))
            first, room = first + len(chosen), room - len(chosen)
            if room == 0:
                yield batch
                batch, room = [], number
    if batch:
        yield batch


def regroup(features: Iterable[Tensor], lengths: Iterable[int]) -> Iterator[Tensor]:
    """Rows that come in pieces of any lengths, in pieces of the lengths given."""
    pieces = iter(features)
    waiting: list[Tensor] = []
    for length in lengths:
        while sum(map(len, waiting)) < length:
            waiting.append(next(pieces))
        rows = torch.cat(waiting)
        yield rows[:length]
        waiting = [rows[length:]]


def segment_scores(network: TemporalPyramidNetwork, features: Tensor, places: Tensor) -> Tensor:
    """Scores of segments by the classifier's linear maps of sub-segments.

    Args:
        network: whose pyramid and classifier are applied.
        features: of the distinct sub-segments, (..., n, D) float32.
        places: (segments, K) int64, the K of the n that make up each segment.

    Returns:
        (..., segments, classes) float64. The sums are too short for double precision to cost anything, and on GPUs it
        keeps the tensor cores' 10-bit products out.
    """
    subsegments = places.shape[1]
    maps = subsegment_maps(network.classifier.weight.double(), subsegments, network.variant.parts)  # (K, classes, D)
    shares = torch.einsum("...nd,kcd->...nkc", features.double(), maps)
    order = torch.arange(subsegments, device=places.device)
    return shares[..., places, order, :].sum(-2) + network.classifier.bias.double()


def pass_backbone(
    run: Run, network: TemporalPyramidNetwork, source: DeviceFields, views: Iterable[Sample]
) -> Iterator[Tensor]:
    """Features of the views' images, (images, D) float32 in pieces of any length."""
    on_gpu = source.device.type == "cuda"
    batches = pack(views, IMAGES_AT_ONCE_ON_GPU) if on_gpu else divide(views, IMAGES_AT_ONCE)
    for images in source.images(batches, run.settings.input_size):
        with autocast(source.device, run.settings.precision):
            yield network.backbone(images.contiguous(memory_format=torch.channels_last)).float()


def score_clips(
    run: Run, network: TemporalPyramidNetwork, source: DeviceFields, clips: Sequence[ScoredSegments]
) -> Iterator[np.ndarray]:
    """Scores of each clip, mean over its views: (segments, classes) float32."""
    features = pass_backbone(run, network, source, (view for clip in clips for view in clip.views))
    lengths = [sum(len(view.indices) for view in clip.views) for clip in clips]
    for clip, rows in zip(clips, regroup(features, lengths), strict=True):
        places = torch.from_numpy(clip.places).to(source.device)
        scores = segment_scores(network, rows.unflatten(0, (len(clip.views), -1)), places)
        yield scores.mean(0).float().cpu().numpy()


def ready(network: TemporalPyramidNetwork, device: torch.device) -> TemporalPyramidNetwork:
    """The network on the device and in the layout in which scores are computed."""
    return network.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


@torch.inference_mode()
def score(
    run: Run,
    network: TemporalPyramidNetwork,
    fields: ClipFields,
    clips: Sequence[Clip],
    segments: int,
    crops: int,
    device: torch.device,
    resident: Residence = "auto",
    memory_share: float = MEMORY_SHARE,
) -> Scores:
    """Scores of the clips, in the order given; `resident` and `memory_share` as for `open_fields`.

    A hidden label is -1 in the scores.
    """
    network = ready(network, device)
    names = tuple(clip.clip for clip in clips)
    source = open_fields(fields, names, device, resident, memory_share)
    chosen = [scored_segments(fields, name, network.variant, segments, crops) for name in names]
    results = score_clips(run, network, source, chosen)
    values = list(progress(results, desc=f"score {run.name}", unit="clip", total=len(names)))
    number = {name: i for i, name in enumerate(run.classes)}
    labels = np.array([number[clip.label] if clip.label else -1 for clip in clips], dtype=np.int64)
    return Scores(run.modality, run.variant, run.fold, run.classes, names, labels, np.stack(values), seed=run.seed)
