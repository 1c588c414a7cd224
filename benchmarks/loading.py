"""Making training batches: images/s from mapped, streamed and resident fields, raw and JPEG, and their sizes.

    python benchmarks/loading.py               # a synthetic clip, written as a video to a temporary folder
    python benchmarks/loading.py a.avi b.avi   # videos, resized to 340x256
    python benchmarks/loading.py --dry         # prints without keeping the figures

Batches of 32 videos with 12 images each for 224x224 pixels, as the paper's 3-level runs draw them. "gathered" are the
cropped bytes that a device is given; "made" are finished images on the device. Prints a table and appends it to
benchmarks/RESULTS.md.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from extraction import BOUND, HEIGHT, WIDTH, write_synthetic_video
from record import benchmark_parser, gpu, record

from stp.config import StorageFormat
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields
from stp.extraction.pairs import FlowSettings
from stp.extraction.stages import extract_flow, extract_frames
from stp.flow import resolve_backend
from stp.methods import pyramid
from stp.sampling.loading import DeviceFields, MappedFields, ResidentFields, StreamedFields
from stp.sampling.samples import Drawing, Sample, draw_batch
from stp.system.machine import keep_freed_memory
from stp.training.run import Run
from stp.video.checking import check_videos

STORAGES = {"raw": StorageFormat(), "jpeg": StorageFormat("jpeg")}
WARM_UP, BATCHES, SYNTHETIC_FRAMES = 6, 8, 90


def store(videos: list[Path], folder: Path, threads: int) -> list[Clip]:
    """Frames and flow of the videos' first frames, in both storages: folder/MODALITY_STORAGE.h5."""
    found, bad = check_videos([Clip(path.stem, str(path), "video") for path in videos])
    if bad:
        raise SystemExit(f"benchmark: {bad[0]}")
    for name, storage in STORAGES.items():
        extract_frames(tuple(found), folder / f"rgb_{name}.h5", WIDTH, HEIGHT, storage)
    settings = FlowSettings(resolve_backend("auto"))
    extract_flow(folder / "rgb_raw.h5", folder / "of_raw.h5", None, settings, BOUND, threads)
    extract_flow(folder / "rgb_raw.h5", folder / "of_jpeg.h5", None, settings, BOUND, threads, STORAGES["jpeg"])
    return found


def rate(batches: list[list[Sample]], make: Callable[[list[list[Sample]]], Iterator[object]]) -> str:
    """Images/s, after the batches for which memory is still being allocated."""
    start, made = 0.0, make(batches)
    for number in range(len(batches)):
        if number == WARM_UP:
            start = time.perf_counter()
        next(made)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    images = sum(len(sample.indices) for batch in batches[WARM_UP:] for sample in batch)
    return f"{images / (time.perf_counter() - start):,.0f}"


def sources(fields: ClipFields, device: torch.device) -> Iterator[DeviceFields]:
    """All that there are for this storage and device."""
    if device.type == "cpu" and fields.mapped:
        yield MappedFields(fields)
    yield StreamedFields(fields, device)
    yield ResidentFields(fields, fields.clips(), device)


def measure_loading(videos: list[Path], device: torch.device) -> list[str]:
    """The table."""
    rows = ["| modality | storage | bytes a frame | source | gathered, images/s | made, images/s |", "|" + "---|" * 6]
    with TemporaryDirectory() as temporary, ProcessPoolExecutor(1, get_context("spawn")) as process:
        folder = Path(temporary)
        if not videos:
            videos = [folder / "synthetic.mp4"]
            write_synthetic_video(videos[0], frames=SYNTHETIC_FRAMES)
        # Elsewhere, because what is measured begins with fresh memory in a training, too.
        clips = process.submit(store, videos, folder, torch.get_num_threads()).result()
        chosen = [clips[i % len(clips)] for i in range(32)]
        for modality in ("rgb", "of"):
            options = pyramid.PyramidOptions()
            run = Run(RunName(modality, "3-level", 1), "pyramid", ("video",), options)
            drawing = Drawing(pyramid.sampler(run), options.stream(modality).scales, len(chosen))
            for name in STORAGES:
                path = folder / f"{modality}_{name}.h5"
                fields = ClipFields([path])
                each = path.stat().st_size / sum(len(fields[clip]) for clip in fields.clips())
                rng = np.random.default_rng(0)
                batches = [draw_batch(drawing, fields, chosen, rng) for _ in range(WARM_UP + BATCHES)]
                for source in sources(fields, device):
                    # Only streamed regions are complete before they become images.
                    gathered = rate(batches, source.regions) if isinstance(source, StreamedFields) else ""
                    made = rate(batches, partial(source.images, size=224))
                    words = type(source).__name__.removesuffix("Fields").lower()
                    rows.append(f"| {modality} | {name} | {each:,.0f} | {words} | {gathered} | {made} |")
    return rows


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("videos", nargs="*", type=Path, help="videos; a synthetic one without")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    busy = os.getloadavg()[0]  # processes that others run
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = measure_loading(arguments.videos, device)
    remarks = f"{arguments.threads} threads, device {device.type} ({gpu()}); load average before the run {busy:.1f}."
    record(
        "Making training batches" + (" on a GPU" if device.type == "cuda" else ""), rows, remarks, keep=arguments.keep
    )


if __name__ == "__main__":
    main()
