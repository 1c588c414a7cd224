"""Training of one run: SGD over randomly sampled segments, with TSN's good practices (paper section 4.1).

Every epoch visits every training clip once, unless `balance: sampling` draws them. Order, segments and crops are drawn
from the run's seed alone. A training that is stopped or killed and then run again ends with the same weights as an
uninterrupted one. On a GPU the weights agree up to rounding, and exactly if the training is `deterministic`.
"""

import itertools
import json
import logging
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stp.config import is_flow
from stp.data.index import Clip
from stp.data.joint import InputFields
from stp.errors import UserError
from stp.models.segment_network import SegmentNetwork
from stp.sampling.loading import DeviceFields, open_fields, step_bytes
from stp.sampling.samples import Drawing, Sampler, class_weights, draw_epoch
from stp.system.devices import Compute, autocast, channels_last, configure, copy_to_host, full_memory_named, in_bfloat16
from stp.system.machine import builds_c
from stp.system.progress import progress
from stp.system.signals import Stopped
from stp.training.batches import training_images
from stp.training.log import LOG_COLUMNS, EpochTally, Row, TrainingLog, log_row, write_log
from stp.training.run import NetworkOptions, Run
from stp.training.session import Session
from stp.training.sgd import SGD

log = logging.getLogger(__name__)

# Compiling BN-Inception takes an H100 59 to 75 s and saves 88 us an image: it pays from 670,000 to 850,000 images on.
PICTURES_WORTH_COMPILING = 1_000_000
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Plan:
    """A network to train: its run, the function that builds it with its initial weights, and its sampler."""

    run: Run
    build: Callable[[], SegmentNetwork]
    sampler: Sampler

    @property
    def options(self) -> NetworkOptions:
        """The run's options."""
        options: NetworkOptions = self.run.options
        return options

    @property
    def epochs(self) -> int:
        """The number of epochs for the run's input."""
        return self.options.stream(self.run.name.input).epochs

    def drawing(self) -> Drawing:
        """How the run's training samples are drawn."""
        options = self.options
        power = options.balance_power if options.balance == "sampling" else 0
        return Drawing(self.sampler, options.stream(self.run.name.input).scales, options.batch_videos, power)

    def loss_weights(self, clips: Sequence[Clip]) -> Tensor | None:
        """The weight of each class in the loss, float32 (classes,), for these training clips; None: all count alike."""
        if self.options.balance != "loss":
            return None
        number = {name: i for i, name in enumerate(self.run.classes)}
        labels = np.array([number[clip.label] for clip in clips], np.int64)
        return torch.tensor(class_weights(labels, len(number), self.options.balance_power), dtype=torch.float32)


def seed_run(run: Run) -> np.random.Generator:
    """Seed torch and return the random generator for sampling; the seeds of both differ between runs."""
    name = run.name
    words = [name.seed, name.fold, zlib.crc32(f"{name.input}/{name.method}".encode())]
    torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
    return np.random.default_rng(words)


def parameter_groups(
    network: SegmentNetwork, learning_rate: float, decay: float, is_flow: bool
) -> list[dict[str, Any]]:
    """Parameter groups for SGD with TSN's multipliers of learning rate and weight decay.

    Biases learn twice as fast and do not decay. The first convolution of a flow network learns five times as fast, and
    so do the layers that the network names. Norms learn at the plain rate and do not decay. Frozen parameters are left
    out.
    """
    first = next(module for module in network.backbone.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d)))
    fast = [*network.fast_layers(), *([first] if is_flow else [])]
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            is_norm = isinstance(module, NORMS)
            factor = 2.0 if name.startswith("bias") and not is_norm else 1.0
            factor *= 5.0 if any(module is layer for layer in fast) else 1.0
            group = (factor * learning_rate, 0.0 if is_norm or name.startswith("bias") else decay)
            groups.setdefault(group, []).append(parameter)
    return [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]


def _loss(scores: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Mean cross entropy of scores (B, classes); a video's counts by the weight of its class, if there are weights."""
    if weights is None:
        return F.cross_entropy(scores, labels)
    return (F.cross_entropy(scores, labels, reduction="none") * weights[labels]).mean()


class Training:
    """A training in progress: everything that one batch passes on to the next."""

    def __init__(self, plan: Plan, compute: Compute) -> None:
        self.plan, self.run, self.compute = plan, plan.run, compute
        options, device = plan.options, compute.device
        self.stream = options.stream(self.run.name.input)
        self.rng = seed_run(self.run)
        self.network: SegmentNetwork = plan.build().to(device)
        channels_last(self.network)
        groups = parameter_groups(
            self.network, self.stream.learning_rate, options.weight_decay, is_flow(self.run.name.input)
        )
        self.optimiser = SGD(groups, momentum=options.momentum, fused=device.type == "cuda")
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(self.optimiser, list(self.stream.milestones), gamma=0.1)
        self.rows: list[Row] = []
        self._unsettled: Callable[[], None] | None = None
        self._began = 0.0
        self._begin_epoch(1)

    @property
    def device(self) -> torch.device:
        """The device that the training computes on."""
        return self.compute.device

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self._tally = epoch, EpochTally.empty(len(self.run.classes))
        # A resumed training draws its samples again from here, so it does not matter how far ahead they were drawn.
        self._drawn_from = self.rng.bit_generator.state

    def steps(self, source: DeviceFields, clips: Sequence[Clip]) -> Iterator[Row | None]:
        """Run the rest of the epoch: yields None after each step of SGD, but the epoch's row after its last step.

        The last step also begins the next epoch.
        """
        self.network.train()
        weights = self.plan.loss_weights(clips)
        weights = None if weights is None else weights.to(self.device)
        drawing, self._began = self.plan.drawing(), time.perf_counter()
        number = math.ceil(len(clips) / drawing.batch_videos)
        epoch = draw_epoch(drawing, source.fields, clips, self.run.classes, self.rng)
        taken, left = itertools.tee(itertools.islice(epoch, self._tally.batches, None))
        options = self.plan.options
        normalisation = self.network.normalisation if in_bfloat16(self.device, options.precision) else None
        made = training_images(self.plan.sampler, options.input_size, source, taken, normalisation)
        following = next(made, None)
        for done, batch in enumerate(left, self._tally.batches + 1):
            assert following is not None
            images, labels = following
            outcome = [copy_to_host(value) for value in self.step(images, labels, weights)]
            following = next(made, None)  # prepared while a GPU computes this step
            self._settle()  # the step before: a GPU that is waited for after each step would be idle until the next one
            self._unsettled = partial(self._note, outcome, batch.labels, images.shape[:3].numel())
            yield self._end_epoch() if done == number else None

    def _note(self, outcome: Sequence[Callable[[], Tensor]], labels: np.ndarray, images: int) -> None:
        """Add the loss and the predictions of a step to the tally, as soon as they are computed."""
        loss, predicted = (copied() for copied in outcome)
        if not math.isfinite(loss.item()):
            raise self._diverged(f"the loss is {loss.item()}")
        now = time.perf_counter()
        self._tally.add(loss.item(), labels, predicted.numpy(), images, now - self._began)
        self._began = now  # whoever takes the row also takes of the epoch's time

    def _settle(self) -> None:
        """Note the last step, if that has not been done."""
        unsettled, self._unsettled = self._unsettled, None
        if unsettled:
            unsettled()

    @property
    def tally(self) -> EpochTally:
        """The epoch so far."""
        self._settle()
        return self._tally

    def step(self, images: Tensor, labels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step of SGD on images (B, N, K, C, size, size), labels (B,): mean loss and predicted classes (B,).

        With `weights` (classes,), a video's loss counts by the weight of its class.
        """
        options = self.plan.options
        with autocast(self.device, options.precision):
            features = self.network.features(images, self.compute.micro_batch_videos)
        features = features.float()
        heads = self.network.heads(features)
        loss = torch.stack([_loss(scores.mean(1), labels, weights) for scores in heads]).sum()  # segments -> video
        scores = heads[0] if len(heads) == 1 else self.network.scores(features)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), options.gradient_clip)
        self.optimiser.step()
        return loss.detach(), scores.mean(1).argmax(1)

    def _end_epoch(self) -> Row:
        tally = self.tally
        self._check_finite()
        tally.seconds += time.perf_counter() - self._began
        rate = self.stream.learning_rate * float(self.schedule.get_last_lr()[0] / self.schedule.base_lrs[0])
        self.schedule.step()
        peak = torch.cuda.max_memory_allocated(self.device) >> 20 if self.device.type == "cuda" else 0
        row = log_row(self.epoch, tally, rate, peak)
        self._begin_epoch(self.epoch + 1)
        return row

    def _diverged(self, what: str) -> UserError:
        return UserError(f"{self.run.name}: {what} in epoch {self.epoch}; lower the stream's learning_rate")

    def _check_finite(self) -> None:
        values = [value for value in self.network.state_dict().values() if value.is_floating_point()]
        if not torch.stack([value.isfinite().all() for value in values]).all():
            raise self._diverged("weights are not finite")

    def state(self) -> dict[str, Any]:
        """The training as tensors and plain values; UserError if it diverged, so that no bad state is ever saved."""
        tally = self.tally
        self._check_finite()
        return {
            "epoch": self.epoch,
            "tally": vars(tally),
            "rows": self.rows,
            "weights": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "drawn_from": json.dumps(self._drawn_from),  # its integers have 128 bits
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state; if it does not fit, torch and numpy raise errors of various kinds."""
        self.network.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.rng.bit_generator.state = json.loads(state["drawn_from"])
        self.rows = state["rows"]
        self._begin_epoch(state["epoch"])
        self._tally = EpochTally(**state["tally"])
        torch.set_rng_state(state["torch_rng"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)


def begin(plan: Plan, compute: Compute, session: Session) -> Training:
    """The training, continued from its last state, or from the start if there is no state that fits."""
    training = Training(plan, compute)
    checkpoints = session.checkpoints
    state = checkpoints.load() if checkpoints else None
    if checkpoints is None or state is None:
        return training
    try:
        training.restore(state)
    except (torch.OutOfMemoryError, torch.AcceleratorError):  # errors of the GPU, not of the state
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        checkpoints.set_aside(error)
        return Training(plan, compute)
    log.info("%s goes on in epoch %d after %d batches", plan.run.name, training.epoch, training.tally.batches)
    return training


def compiles(plan: Plan, clips: int, compute: Compute) -> bool:
    """True if a training on this number of clips compiles its backbone; with `auto`, long trainings on a GPU do.

    Raises:
        UserError: "always" together with micro-batches, which run the network in pieces.
    """
    choice, micro_batch_videos = compute.compilation, compute.micro_batch_videos
    if choice == "always" and micro_batch_videos:
        raise UserError(
            "compute.compile: always, beside compute.micro_batch_videos; use never, or 0 micro-batch videos"
        )
    pictures = plan.epochs * clips * pictures_of_video(plan.sampler)
    on_gpu = compute.device.type == "cuda"
    pays = on_gpu and not micro_batch_videos and pictures >= PICTURES_WORTH_COMPILING and builds_c()
    return choice == "always" or (choice == "auto" and pays)


def pictures_of_video(sampler: Sampler) -> int:
    """The number of pictures, frames or stacks of flow, in a video's training sample."""
    return sampler.segments * sampler.subsegments * sampler.pictures


def pictures_of_step(plan: Plan, compute: Compute) -> int:
    """Pictures that a step of SGD holds in memory at once."""
    videos = min(plan.options.batch_videos, compute.micro_batch_videos or plan.options.batch_videos)
    return videos * pictures_of_video(plan.sampler)


def train(plan: Plan, fields: InputFields, clips: Sequence[Clip], compute: Compute, session: Session) -> SegmentNetwork:
    """Train a network on its fold's training clips, and write its log.

    With checkpoints, the training continues from the saved state, and saves its state at the ends of epochs and every
    few minutes.

    Raises:
        UserError: the training diverged, the GPU is too small, or TensorBoard is not installed.
        Stopped: a signal asked the training to stop; with checkpoints, its state is saved.
    """
    checkpoints, name = session.checkpoints, str(plan.run.name)
    under_way = checkpoints.under_way(name, plan.epochs) if checkpoints else nullcontext()
    keys = "compute.memory_share, or set compute.micro_batch_videos below training.batch_videos"
    with under_way, full_memory_named(name, keys):
        configure(compute.device, plan.options.deterministic)
        source = open_fields(
            fields,
            [clip.clip for clip in clips],
            compute.device,
            compute.resident,
            compute.memory_share,
            plan.sampler.columns,
            step_bytes(pictures_of_step(plan, compute), plan.options.input_size),
        )
        training = begin(plan, compute, session)
        if compiles(plan, len(clips), compute):
            training.network.backbone.compile(dynamic=False)  # two batch sizes at most
        growing = checkpoints.log_path if checkpoints else None
        with TrainingLog(training.rows, growing, session.tensorboard) as rows:
            epochs = range(training.epoch, plan.epochs + 1)
            bar = progress(epochs, desc=name, unit="epoch", initial=training.epoch - 1, total=plan.epochs)
            for epoch in bar:
                for row in training.steps(source, clips):
                    if row:
                        rows.add(row)
                        seen = dict(zip(LOG_COLUMNS, row, strict=True))
                        bar.set_postfix(loss=seen["loss"], accuracy=seen["accuracy"], refresh=False)
                        log.info(
                            "%s epoch %d/%d loss %s accuracy %s, %s s",
                            name,
                            epoch,
                            plan.epochs,
                            seen["loss"],
                            seen["accuracy"],
                            seen["seconds"],
                        )
                    _pause(training, row is not None, session)
    write_log(session.log_csv, training.rows)
    return training.network.eval()


def _pause(training: Training, epoch_ended: bool, session: Session) -> None:
    """Between two batches: save the state if that is due, and stop if that was requested and work is left."""
    checkpoints, reason = session.checkpoints, session.stop.signal if session.stop else None
    if checkpoints and (reason or checkpoints.due(epoch_ended)):
        checkpoints.save(training.state())
    if reason and training.epoch <= training.plan.epochs:
        place = f"epoch {training.epoch} after {training.tally.batches} batches"
        kept = "goes on there when it is run again" if checkpoints else "nothing is kept without --state"
        raise Stopped(f"{training.run.name}: stopped by {reason.name} in {place}; {kept}")
