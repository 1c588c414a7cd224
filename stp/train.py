"""Training of one run: SGD over randomly sampled segments, with TSN's good practices (paper section 4.1).

Every epoch visits every training clip once; order, segments and crops are drawn from the run's seed alone.
"""

import csv
import logging
import re
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from stp.crops import cut, training_crop
from stp.errors import UserError
from stp.files import complete_file
from stp.index import Clip
from stp.modalities import MODALITIES
from stp.models.pyramid import TemporalPyramidNetwork
from stp.runs import Run
from stp.sampling import segment_subsegments, subsegment_fields, training_starts
from stp.storage import ClipFields

log = logging.getLogger(__name__)

DEVICE = re.compile(r"cpu|cuda(?::(\d+))?")
LOG_COLUMNS = ("epoch", "loss", "accuracy", "learning_rate", "seconds", "images_per_second")


def select_device(name: str = "auto") -> torch.device:
    """`auto` is the GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    number = DEVICE.fullmatch(name)
    if not number:
        raise UserError(f"compute.device: '{name}' is unknown; allowed are auto, cpu, cuda and cuda:N")
    if name != "cpu" and int(number[1] or 0) >= torch.cuda.device_count():
        raise UserError(f"compute.device: '{name}' was asked for, but torch finds {torch.cuda.device_count()} GPUs")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bfloat16 where `precision` asks for it; `auto` does on GPUs, where it pays."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def seed_run(run: Run, seed: int) -> np.random.Generator:
    """Seed torch, and return the generator of the sampling; both differ between runs."""
    words = [seed, run.fold, zlib.crc32(f"{run.modality}/{run.variant}".encode())]
    torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
    return np.random.default_rng(words)


def parameter_groups(
    network: TemporalPyramidNetwork, learning_rate: float, decay: float, is_flow: bool
) -> list[dict[str, Any]]:
    """TSN's multipliers: biases learn twice as fast and do not decay; the flow's first convolution five times faster.

    Batch norms neither decay nor hurry. Frozen parameters are left out.
    """
    first = next(module for module in network.backbone.modules() if isinstance(module, nn.Conv2d))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            is_norm = isinstance(module, nn.BatchNorm2d)
            factor = 2.0 if name == "bias" and not is_norm else 1.0
            factor *= 5.0 if is_flow and module is first else 1.0
            group = (factor * learning_rate, 0.0 if is_norm or name == "bias" else decay)
            groups.setdefault(group, []).append(parameter)
    return [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]


def training_images(run: Run, fields: np.ndarray, rng: np.random.Generator) -> Tensor:
    """A random sample of one clip: (T, C, H, W) uint8 -> (N, K, stack * C, size, size) float32; one crop for all."""
    modality, variant = MODALITIES[run.modality], run.settings.variant(run.variant)
    length = len(fields)
    starts = training_starts(length, variant.segments, variant.segment_length, rng)
    stack = modality.stack(variant.subsegment_length)
    indices = subsegment_fields(segment_subsegments(starts, variant).reshape(-1), stack, length)
    crop = training_crop(fields.shape[2], fields.shape[3], run.settings.stream(modality).scales, rng)
    images = cut(fields, indices, crop, run.settings.input_size, modality.is_flow)
    return images.unflatten(0, (variant.segments, variant.subsegments))


def batches(
    run: Run, fields: ClipFields, clips: Sequence[Clip], rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order: images (B, N, K, C, size, size) float32 and labels (B,) int64."""
    number = {name: i for i, name in enumerate(run.classes)}
    order = rng.permutation(len(clips))
    for first in range(0, len(order), run.settings.batch_videos):
        chosen = [clips[i] for i in order[first : first + run.settings.batch_videos]]
        images = torch.stack([training_images(run, fields[clip.clip], rng) for clip in chosen])
        yield images, torch.tensor([number[clip.label] for clip in chosen])


def train_epoch(
    network: TemporalPyramidNetwork,
    optimiser: torch.optim.Optimizer,
    samples: Iterator[tuple[Tensor, Tensor]],
    device: torch.device,
    precision: str,
    gradient_clip: float,
) -> tuple[float, float, int]:
    """One pass over the samples: mean loss, accuracy and number of images."""
    total, correct, videos, seen = 0.0, 0, 0, 0
    for images, labels in samples:
        images, labels = images.to(device), labels.to(device)
        with autocast(device, precision):
            scores = network(images).mean(1)  # segments -> video
            loss = F.cross_entropy(scores.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
        optimiser.step()
        total += loss.item() * len(labels)
        correct += int((scores.argmax(1) == labels).sum())
        videos += len(labels)
        seen += images.shape[:3].numel()
    return total / videos, correct / videos, seen


def train(
    run: Run, fields: ClipFields, clips: Sequence[Clip], seed: int, device: torch.device, log_path: Path
) -> TemporalPyramidNetwork:
    """Train a run on its fold's training clips, writing one line an epoch to the csv `log_path`."""
    rng = seed_run(run, seed)
    modality, settings = MODALITIES[run.modality], run.settings
    stream = settings.stream(modality)
    network = run.build_network().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = parameter_groups(network, stream.learning_rate, settings.weight_decay, modality.is_flow)
    optimiser = torch.optim.SGD(groups, momentum=settings.momentum)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(stream.milestones), gamma=0.1)
    with complete_file(log_path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LOG_COLUMNS)
        progress = tqdm(range(1, stream.epochs + 1), desc=run.name, unit="epoch")
        for epoch in progress:
            began = time.perf_counter()
            network.train()
            loss, accuracy, images = train_epoch(
                network, optimiser, batches(run, fields, clips, rng), device, settings.precision, settings.gradient_clip
            )
            if not np.isfinite(loss):
                raise UserError(f"{run.name}: the loss is {loss} in epoch {epoch}; lower the stream's learning_rate")
            rate = stream.learning_rate * schedule.get_last_lr()[0] / schedule.base_lrs[0]
            schedule.step()
            seconds = time.perf_counter() - began
            row = (epoch, f"{loss:.5f}", f"{accuracy:.4f}", f"{rate:.3g}", f"{seconds:.2f}", f"{images / seconds:.1f}")
            writer.writerow(row)
            file.flush()
            progress.set_postfix(loss=row[1], accuracy=row[2])
            log.info("%s epoch %d/%d loss %s accuracy %s, %s s", run.name, epoch, stream.epochs, *row[1:3], row[4])
    network.eval()
    return network
