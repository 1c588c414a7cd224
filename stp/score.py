"""Scoring: a trained run's scores of its test clips, over fixed segments and crops (paper section 4.1, TSN)."""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from stp.crops import cut, fixed_crops
from stp.index import Clip
from stp.modalities import MODALITIES
from stp.models.pyramid import TemporalPyramidNetwork
from stp.runs import Run
from stp.sampling import even_starts, segment_subsegments, subsegment_fields
from stp.scores import Scores
from stp.storage import ClipFields
from stp.train import autocast

IMAGES_AT_ONCE = 128


def score_clip(
    run: Run, network: TemporalPyramidNetwork, fields: np.ndarray, segments: int, crops: int, device: torch.device
) -> np.ndarray:
    """Scores of one clip, mean over crops: (T, C, H, W) uint8 -> (segments, classes) float32.

    Segments overlap, so each distinct sub-segment passes the backbone only once a crop.
    """
    modality, variant = MODALITIES[run.modality], network.variant
    starts = even_starts(len(fields), segments, variant.segment_length)
    subsegments = segment_subsegments(starts, variant)
    distinct, place = np.unique(np.minimum(subsegments, len(fields) - 1), return_inverse=True)
    indices = subsegment_fields(distinct, modality.stack(variant.subsegment_length), len(fields))
    where = torch.from_numpy(place.reshape(subsegments.shape)).to(device)
    total = torch.zeros(segments, len(run.classes))
    views = fixed_crops(fields.shape[2], fields.shape[3], crops)
    for crop in views:
        features = []
        for first in range(0, len(indices), IMAGES_AT_ONCE):
            chosen = indices[first : first + IMAGES_AT_ONCE]
            images = cut(fields, chosen, crop, run.settings.input_size, modality.is_flow).to(device)
            with autocast(device, run.settings.precision):
                features.append(network.backbone(images.contiguous(memory_format=torch.channels_last)).float())
        total += network.scores(torch.cat(features)[where]).cpu()
    return (total / len(views)).numpy()


@torch.inference_mode()
def score(
    run: Run,
    network: TemporalPyramidNetwork,
    fields: ClipFields,
    clips: Sequence[Clip],
    segments: int,
    crops: int,
    device: torch.device,
) -> Scores:
    """Scores of the test clips, in the order given."""
    network = network.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    number = {name: i for i, name in enumerate(run.classes)}
    progress = tqdm(clips, desc=f"score {run.name}", unit="clip")
    values = [score_clip(run, network, fields[clip.clip], segments, crops, device) for clip in progress]
    labels = np.array([number[clip.label] for clip in clips], dtype=np.int64)
    names = tuple(clip.clip for clip in clips)
    return Scores(run.modality, run.variant, run.fold, run.classes, names, labels, np.stack(values))
