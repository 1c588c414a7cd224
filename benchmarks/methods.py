"""Seconds of a training step of every network method, and how much of them goes into making its images.

    python benchmarks/methods.py                              # on a GPU, mini-batches of 32 clips
    python benchmarks/methods.py --videos 2                   # on a CPU
    python benchmarks/methods.py --videos 2 --only c3d tsm    # two of the methods

Stored clips of 60 frames of 340x256, raw and as JPEG; networks with the publications' backbones and input sizes, random
weights. (a) steps from stored clips; (b) the same steps on random images that are on the device; waiting is 1 - b / a.
Contestants take turns; medians count. Prints a table and keeps it in benchmarks/RESULTS.md.
"""

import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from record import benchmark_parser, record
from training import CLASSES, FIELDS, HEIGHT, WIDTH, engine_steps, resident_steps, take_turns

from stp import methods
from stp.config import PUBLISHED, StorageFormat
from stp.data.index import Clip
from stp.data.joint import InputFields, input_fields
from stp.data.modalities import MODALITIES
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.system.devices import Compute, configure, select_device
from stp.system.machine import keep_freed_memory
from stp.training.loop import Plan, Training
from stp.training.run import Run, image_channels

# Method, input, and what differs from the defaults.
NETWORKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("two_stream", "of", {}),
    ("two_stream_fusion", "rgb+of", {"backbone": "torchvision/vgg16"}),
    ("multiplier_net", "rgb+of", {}),
    ("tpp", "rgb+of", {}),
    ("dtpp", "of", {}),
    ("tan", "rgb+of", {}),
    ("trn", "rgb", {}),
    ("tsm", "rgb", {}),
    ("c3d", "rgb", {}),
    ("stpp", "rgb", {}),
    ("r2plus1d", "rgb", {}),
    ("video_network", "rgb", {}),
)


def write_clips(folder: Path, number: int, storage: StorageFormat) -> tuple[list[Clip], dict[str, ClipFields]]:
    """Clips of smooth random frames and flow."""
    rng = np.random.default_rng(0)
    clips = [Clip(f"clip{n:03}", "", CLASSES[n % len(CLASSES)], frames=FIELDS) for n in range(number)]
    for name in ("rgb", "of"):
        with write_shard(folder / f"{name}.h5", name, {}, storage) as shard:
            for clip in clips:
                coarse = rng.integers(60, 200, (FIELDS, MODALITIES[name].channels, HEIGHT // 8, WIDTH // 8 + 1))
                fields = coarse.repeat(8, 2).repeat(8, 3)[..., :WIDTH]
                shard.write(clip.clip, fields.astype(np.uint8))
    return clips, {name: ClipFields([folder / f"{name}.h5"]) for name in ("rgb", "of")}


def plan_of(method: str, run_input: str, values: dict[str, Any], videos: int) -> Plan:
    """The training of a method with its publication's backbone and input size, from random weights."""
    options = (
        dict(PUBLISHED.get(method, {})) | {"weights": "none", "partial_bn": False, "batch_videos": videos} | values
    )
    run: Run = methods.find(method).run(RunName(run_input, method, 1), method, CLASSES, options)
    file: Any = import_module(f"stp.methods.{method}")
    return Plan(run, lambda: file.build(run), file.sampler(run))


def random_images(plan: Plan, videos: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A mini-batch of a plan, and its labels."""
    sampler, size = plan.sampler, plan.options.input_size
    shape = (videos, sampler.segments, sampler.subsegments, image_channels(plan.run.name, sampler.columns), size, size)
    images = torch.randint(0, 256, shape, device=device, dtype=torch.uint8).float()
    return images, torch.arange(videos, device=device) % len(CLASSES)


def measure(
    plan: Plan, stored: dict[str, InputFields], clips: list[Clip], turns: int, device: torch.device
) -> list[str]:
    """The cells of a method's row: seconds of a step on images that are there, and the shares of waiting."""
    videos = plan.options.batch_videos
    engines = {name: Training(plan, Compute(device)) for name in (*stored, "ready")}

    def one(steps: Iterator[None]) -> Callable[[], object]:
        return lambda: next(steps)

    steps = {name: one(engine_steps(engines[name], fields, clips)) for name, fields in stored.items()}
    steps["ready"] = one(resident_steps(engines["ready"], *random_images(plan, videos, device)))
    seconds = take_turns(steps, turns, device)
    ready = seconds.pop("ready")
    waits = [f"{100 * max(0.0, 1 - ready / taken):.1f} %" for taken in seconds.values()]
    return [f"{ready:.3f}", *waits]


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=32, help="clips of a mini-batch")
    parser.add_argument("--turns", type=int, default=5, help="measurements, of which the median counts")
    parser.add_argument("--only", nargs="*", default=[], help="methods to measure; all without")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device, busy = select_device(arguments.device), os.getloadavg()[0]
    configure(device)
    keep_freed_memory()
    rows = ["| method | input | step (b), s | waiting, raw | waiting, JPEG |", "|" + "---|" * 5]
    with TemporaryDirectory() as temporary:
        stored: dict[str, dict[str, ClipFields]] = {}
        for name in ("raw", "jpeg"):
            folder = Path(temporary) / name
            folder.mkdir()
            clips, stored[name] = write_clips(folder, 2 * arguments.videos, StorageFormat(name))
        for method, run_input, values in NETWORKS:
            if arguments.only and method not in arguments.only:
                continue
            plan = plan_of(method, run_input, values, arguments.videos)
            fields = {name: input_fields(parts, run_input) for name, parts in stored.items()}
            cells = measure(plan, fields, clips, arguments.turns, device)
            rows.append(f"| {' | '.join([method, run_input, *cells])} |")
            print(rows[-1], file=sys.stderr, flush=True)  # what is there, should the next network take too long
    remarks = f"Mini-batches of {arguments.videos}, device {device.type}; load average before the run {busy:.1f}."
    where = " on a GPU" if device.type == "cuda" else ""  # a kind of its own: neither replaces the other in RESULTS.md
    record(f"Steps of the compared networks{where}", rows, remarks, keep=arguments.keep)


if __name__ == "__main__":
    main()
