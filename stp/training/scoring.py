"""Scoring: a trained run's scores of its test clips, over fixed segments and crops (paper section 4.1, TSN).

Segments overlap, so each distinct sub-segment passes through the backbone only once per crop. The pyramid and its
classifier are linear together, so they are applied as one linear map for each sub-segment of a segment.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from stp.config import Views
from stp.data.joint import InputFields
from stp.errors import UserError
from stp.models.bninception import BNInception
from stp.models.segment_network import SegmentNetwork
from stp.sampling.loading import DeviceFields, open_fields, upload
from stp.sampling.samples import Sample, Sampler, ScoredSegments, images_of, scored_segments
from stp.system.devices import Compute, autocast, channels_last, copy_to_host, in_bfloat16
from stp.system.prefetch import one_ahead
from stp.system.progress import progress
from stp.training.run import NetworkOptions

PICTURES_AT_ONCE = 128
PICTURES_AT_ONCE_ON_GPU = 256


def divide(views: Iterable[Sample], most: int) -> Iterator[list[Sample]]:
    """Batches of at most `most` images, each batch from one view."""
    for view in views:
        for first in range(0, len(view.indices), most):
            yield [Sample(view.clip, view.indices[first : first + most], view.crop)]


def pack(views: Iterable[Sample], number: int) -> Iterator[list[Sample]]:
    """Batches of exactly `number` images, across views and clips, because a GPU is tuned to one shape.

    The last batch may be smaller.
    """
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
    """Regroup rows that arrive in pieces of any lengths into pieces of the given lengths."""
    pieces = iter(features)
    waiting: list[Tensor] = []
    for length in lengths:
        while sum(map(len, waiting)) < length:
            waiting.append(next(pieces))
        rows = torch.cat(waiting)
        yield rows[:length]
        waiting = [rows[length:]]


@dataclass(frozen=True)
class Scorer:
    """A network in evaluation mode, with the options and the sampler that it was trained with."""

    network: SegmentNetwork
    options: NetworkOptions
    sampler: Sampler

    def on(self, device: torch.device) -> "Scorer":
        """This scorer on a device, in the memory layout that scoring uses; on a GPU, with batch norms folded."""
        network = self.network.to(device).eval()
        if device.type == "cuda":
            network = copy.deepcopy(network)
            for module in network.modules():
                if isinstance(module, BNInception):
                    module.fold_norms()
        channels_last(network)
        return replace(self, network=network)

    def pass_backbone(self, source: DeviceFields, views: Iterable[Sample]) -> Iterator[Tensor]:
        """Features of the views' images: float32 (images, D), in pieces of any length."""
        on_gpu = source.device.type == "cuda"
        most = images_of(PICTURES_AT_ONCE_ON_GPU if on_gpu else PICTURES_AT_ONCE, self.sampler)
        batches = pack(views, most) if on_gpu else divide(views, most)
        normalisation = self.network.normalisation if in_bfloat16(source.device, self.options.precision) else None
        for images in source.images(batches, self.options.input_size, normalisation):
            with autocast(source.device, self.options.precision):
                features = self.network.backbone(images.contiguous(memory_format=torch.channels_last)).float()
            yield features  # outside, or whoever takes them would compute in that precision, too

    def score_clips(self, source: DeviceFields, clips: Sequence[ScoredSegments]) -> Iterator[np.ndarray]:
        """Scores of each clip, averaged over its views: float32 (segments, classes).

        Raises:
            UserError: a score is NaN or infinite.
        """
        copies = self._copied_scores(source, clips)
        if source.device.type == "cuda":  # computes a clip while the scores of the one before are waited for
            copies = one_ahead(copies)
        for clip, copied in zip(clips, copies, strict=True):
            values = copied().numpy()
            if not np.isfinite(values).all():
                name = clip.views[0].clip
                raise UserError(f"clip '{name}' gets scores that are NaN or infinite; train with a lower learning_rate")
            yield values

    def _copied_scores(self, source: DeviceFields, clips: Sequence[ScoredSegments]) -> Iterator[Callable[[], Tensor]]:
        """A function for each clip that waits for its scores, float32 (segments, classes), on the CPU.

        The computation goes on meanwhile on a GPU.
        """
        features = self.pass_backbone(source, (view for clip in clips for view in clip.views))
        lengths = [sum(len(view.indices) for view in clip.views) for clip in clips]
        for clip, rows in zip(clips, regroup(features, lengths), strict=True):
            places = upload(torch.from_numpy(clip.places), source.device)
            scores = self.network.segment_scores(rows.unflatten(0, (len(clip.views), -1)), places)
            yield copy_to_host(scores.mean(0).float())


@torch.inference_mode()
def score(
    scorer: Scorer, name: str, fields: InputFields, clips: Sequence[str], views: Views, compute: Compute
) -> np.ndarray:
    """Scores of the clips with these ids, in the order given: float32 (clips, segments, classes).

    `name` is shown on the progress bar.
    """
    scorer = scorer.on(compute.device)
    columns = scorer.sampler.columns
    source = open_fields(fields, clips, compute.device, compute.resident, compute.memory_share, columns)
    chosen = [scored_segments(fields, clip, scorer.sampler, views) for clip in clips]
    results = scorer.score_clips(source, chosen)
    return np.stack(list(progress(results, desc=f"score {name}", unit="clip", total=len(clips))))
