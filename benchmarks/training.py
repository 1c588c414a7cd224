"""Images/s of a full training step, beside the same step on data that is already there, and beside this lineage's loop.

    python benchmarks/training.py                    # on a GPU: BN-Inception, 32 videos x 12 images of 224
    python benchmarks/training.py --videos 2         # on a CPU
    python benchmarks/training.py --clips 911 --steps 29 --compile   # on a GPU: a turn is an epoch as long as PEV's

(a) this engine, from stored clips; (b) the same network and step on random images on the device; (c) a loop as TSN and
its descendants write it: JPEG files of single flow planes, worker processes, float32, no channels_last. (a) / (b) says
what loading costs, (a) / (c) what a user gains. Also clips/s of scoring, beside passing every segment and crop through
the network. Contestants take turns; medians count. Prints a table and keeps it in benchmarks/RESULTS.md.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from record import benchmark_parser, record
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from stp.config import Views
from stp.data.index import Clip
from stp.data.joint import InputFields
from stp.data.modalities import MODALITIES
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.methods import pyramid
from stp.sampling.crops import fixed_crops, render, training_crop
from stp.sampling.loading import open_fields
from stp.sampling.samples import scored_segments
from stp.system.devices import Compute, autocast, configure, select_device
from stp.system.machine import keep_freed_memory
from stp.training.loop import Plan, Training
from stp.training.run import Run
from stp.training.scoring import Scorer

CLASSES = tuple("abcdefg")
# Of the paper's 45 trainings on PEV: clips of 3 folds' training parts, epochs of three streams, images of the variants.
IMAGES_OF_TABLE_1 = 911 * 2 * (80 + 320 + 320) * (3 + 3 * 12 + 24)
FIELDS, HEIGHT, WIDTH = 60, 256, 340
DISTINCT = 16  # clips


def smooth_fields(seed: int, channels: int) -> np.ndarray:
    """Smooth random fields, uint8 (FIELDS, channels, HEIGHT, WIDTH)."""
    noise = np.random.default_rng(seed).normal(size=(FIELDS * channels, HEIGHT // 8, WIDTH // 8)).astype(np.float32)
    planes = np.stack([cv2.resize(plane, (WIDTH, HEIGHT)) for plane in noise])
    return np.clip(128 + 20 * planes, 0, 255).astype(np.uint8).reshape(FIELDS, channels, HEIGHT, WIDTH)


def write_clips(path: Path, modality: str, number: int) -> list[Clip]:
    """Clips of smooth random fields; only a few are distinct, because their content takes no time in training."""
    clips = [Clip(f"clip{n:04}", "", CLASSES[n % len(CLASSES)], frames=FIELDS + 1) for n in range(number)]
    with ThreadPoolExecutor() as pool, write_shard(path, modality, {"bound": 20} if modality == "of" else {}) as shard:
        distinct = list(pool.map(partial(smooth_fields, channels=MODALITIES[modality].channels), range(DISTINCT)))
        for n, clip in enumerate(clips):
            shard.write(clip.clip, distinct[n % DISTINCT])
    return clips


class PlaneFiles(Dataset[tuple[torch.Tensor, int]]):
    """Samples from one JPEG file a flow plane, decoded, cropped and resized one by one."""

    def __init__(self, plan: Plan, folder: Path, clips: list[Clip], fields: ClipFields) -> None:
        self.plan, self.folder, self.clips = plan, folder, clips
        self.axes = "xy" if fields.modality == "of" else "rgb"

        def write(clip: Clip) -> None:
            for t, field in enumerate(fields[clip.clip][:]):
                for axis, plane in zip(self.axes, field, strict=True):
                    cv2.imwrite(str(folder / f"{clip.clip}_{axis}_{t:05}.jpg"), plane)

        with ThreadPoolExecutor() as pool:
            list(pool.map(write, clips))

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        clip, rng = self.clips[number], np.random.default_rng()
        sampler, size = self.plan.sampler, self.plan.options.input_size
        crop = training_crop(HEIGHT, WIDTH, self.plan.options.stream(self.plan.run.name.input).scales, rng)
        planes = []
        for t in sampler.draw(FIELDS, rng).reshape(-1):
            for axis in self.axes:
                plane = cv2.imread(str(self.folder / f"{clip.clip}_{axis}_{t:05}.jpg"), cv2.IMREAD_GRAYSCALE)
                assert plane is not None
                plane = cv2.resize(plane[crop.slices], (size, size))
                if crop.flip:
                    plane = 255 - cv2.flip(plane, 1) if axis == "x" else cv2.flip(plane, 1)
                planes.append(plane)
        images = torch.from_numpy(np.stack(planes)).float()
        return images.reshape(sampler.segments, sampler.subsegments, -1, size, size), CLASSES.index(clip.label)


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def engine_steps(training: Training, fields: InputFields, clips: list[Clip]) -> Iterator[None]:
    """Steps of this engine, epoch after epoch."""
    columns = training.plan.sampler.columns
    source = open_fields(fields, [clip.clip for clip in clips], training.device, columns=columns)
    while True:
        for _ in training.steps(source, clips):
            yield


def resident_steps(training: Training, images: torch.Tensor, labels: torch.Tensor) -> Iterator[None]:
    training.network.train()
    while True:
        training.step(images, labels)
        yield


def lineage_steps(training: Training, files: PlaneFiles, videos: int, workers: int) -> Iterator[None]:
    """Epochs of a loader with worker processes, and a float32 step."""
    network, optimiser, device = training.network.float(), training.optimiser, training.device
    network.to(memory_format=torch.contiguous_format).train()  # type: ignore[call-overload]
    pinned = device.type == "cuda"
    loader = DataLoader(files, videos, True, num_workers=workers, pin_memory=pinned, persistent_workers=True)
    for images, labels in chain.from_iterable(repeat(loader)):  # each epoch decodes again
        loss = F.cross_entropy(network(images.to(device)).mean(1), labels.to(device))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.plan.options.gradient_clip)
        optimiser.step()
        yield


def naive_scores(training: Training, fields: np.ndarray, views: Views) -> torch.Tensor:
    """Scores (segments, classes) with every segment and crop through the whole network."""
    sampler, options, device, total = training.plan.sampler, training.plan.options, training.device, []
    for indices in sampler.spread(len(fields), views.segments):
        seen = []
        for crop in fixed_crops(HEIGHT, WIDTH, views.crops):
            regions = torch.from_numpy(fields[indices.reshape(-1)][:, :, *crop.slices]).to(device)
            images = render(regions, crop.flip, options.input_size, True)
            seen.append(images.reshape(1, 1, sampler.subsegments, -1, *images.shape[-2:]))
        with torch.inference_mode(), autocast(device, options.precision):
            total.append(torch.stack([training.network(view)[0, 0].float() for view in seen]).mean(0))
    return torch.stack(total).cpu()


def take_turns(contestants: dict[str, Callable[[], object]], turns: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each, after one call each to warm up; another one is first in every turn."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(turns + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            contestants[name]()
            finish(device)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=32, help="videos of a batch, 12 images each")
    parser.add_argument("--clips", type=int, help="stored clips; 8 batches of them without")
    parser.add_argument("--input", choices=["of", "rgb"], default="of")
    parser.add_argument("--variant", default="3-level", help="of the pyramid: baseline, 2-level, 3-level, ...")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--turns", type=int, default=5, help="measurements, of which the median counts")
    parser.add_argument("--segments", type=int, default=25, help="of a scored clip")
    parser.add_argument("--crops", type=int, default=10, help="of a scored clip")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="compile the networks of (a) and (b)")
    arguments = parser.parse_args()
    device, workers = select_device(arguments.device), len(os.sched_getaffinity(0))
    configure(device)
    keep_freed_memory()  # as stp train and stp score do
    options = pyramid.PyramidOptions(weights="none", batch_videos=arguments.videos)
    run = Run(RunName(arguments.input, arguments.variant, 1), "pyramid", CLASSES, options)
    sampler, views = pyramid.sampler(run), Views(arguments.segments, arguments.crops)
    plan, busy = Plan(run, lambda: pyramid.build(run), sampler), os.getloadavg()[0]
    compiled = ", compiled" if arguments.compile else ""
    per_video = sampler.segments * sampler.subsegments
    with TemporaryDirectory() as folder:
        number = arguments.clips or max(8 * arguments.videos, len(CLASSES))
        clips = write_clips(Path(folder) / "0.h5", arguments.input, number)
        fields = ClipFields([Path(folder) / "0.h5"])
        files = PlaneFiles(plan, Path(folder), clips[: 2 * arguments.videos], fields)
        size = options.input_size
        shape = (
            arguments.videos,
            sampler.segments,
            sampler.subsegments,
            MODALITIES[arguments.input].channels * sampler.stack,
            size,
            size,
        )
        images = torch.randint(0, 256, shape, device=device, dtype=torch.uint8).float()
        labels = torch.arange(arguments.videos, device=device) % len(CLASSES)
        engine, resident, lineage = (Training(plan, Compute(device)) for _ in range(3))
        if arguments.compile:
            engine.network.backbone.compile(dynamic=False)  # as training does
            resident.network.backbone.compile(dynamic=False)
        steps = {
            "a, this engine, stored clips": engine_steps(engine, fields, clips),
            "b, random images on the device": resident_steps(resident, images, labels),
            "c, JPEG files, workers, float32": lineage_steps(lineage, files, arguments.videos, workers),
        }

        def several(steps: Iterator[None]) -> Callable[[], object]:
            return lambda: [next(steps) for _ in range(arguments.steps)]

        seconds = take_turns({name: several(it) for name, it in steps.items()}, arguments.turns, device)
        a, b, c = seconds.values()
        scorer = Scorer(engine.network, options, sampler).on(device)
        source = open_fields(fields, [clip.clip for clip in clips], device)
        clip = clips[0].clip

        @torch.inference_mode()
        def shared_scores() -> None:
            list(scorer.score_clips(source, [scored_segments(fields, clip, sampler, views)]))

        scoring = take_turns(
            {
                "shared": shared_scores,
                "naive": lambda: naive_scores(engine, fields[clip][:], views),
            },
            max(1, arguments.turns // 2),
            device,
        )
    total = arguments.videos * per_video * arguments.steps
    what = f"{arguments.input.upper()}, {arguments.variant}"
    rows = [f"| training step, BN-Inception 224, {what} | images/s | |", "|---|--:|---|"]
    notes = ["", f"(a) / (b) = {b / a:.2f}", f"(a) / (c) = {c / a:.2f}"]
    rows += [f"| {name} | {total / s:.1f} | {note} |" for (name, s), note in zip(seconds.items(), notes, strict=True)]
    memory = (
        f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of GPU memory"
        if device.type == "cuda"
        else f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"
    )
    hours = IMAGES_OF_TABLE_1 / (total / a) / 3600
    rate, naive_rate = 1 / scoring["shared"], 1 / scoring["naive"]
    rows += [
        "",
        f"- Scoring a clip of {FIELDS} fields, {arguments.segments} segments x {arguments.crops} crops: {rate:.3f} "
        f"clips/s; every segment and crop by itself {naive_rate:.3f} ({rate / naive_rate:.1f} x).",
        f"- Peak {memory}. The {IMAGES_OF_TABLE_1 / 1e6:.1f} million images of Table 1 on PEV would take {hours:.1f} h "
        "at rate (a).",
    ]
    if device.type != "cuda":
        rows.append("- Not run on a GPU.")
    record(
        f"Training and scoring on a GPU: {what}{compiled}" if device.type == "cuda" else "Training and scoring",
        rows,
        f"{arguments.videos} videos x {per_video} images a step on {device}{compiled}, "
        f"{arguments.steps} steps a turn, medians of {arguments.turns} turns; load average before the run {busy:.1f}.",
        arguments.keep,
    )


if __name__ == "__main__":
    main()
