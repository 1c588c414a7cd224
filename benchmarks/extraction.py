"""Decoding, flow and warped flow of videos as a whole: pairs/s, and the share of the wall time inside TV-L1.

    python benchmarks/extraction.py               # a synthetic clip, written as a video to a temporary folder
    python benchmarks/extraction.py a.avi b.avi   # videos, resized to 340x256

Writes shards as `stp flow --warped` does, with 1 thread and with all cores, after a warm-up that compiles. Prints a
table and appends it to benchmarks/RESULTS.md.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from record import benchmark_parser, record

from stp.extraction.engine import FlowSummary, WriteChunk, write_flow
from stp.extraction.pairs import FlowSettings
from stp.extraction.recipe import shard_parameters
from stp.extraction.writers import FlowFile, write_chunks, write_h5
from stp.flow import resolve_backend
from stp.video.clip import GreyClip
from stp.video.sources import examine, find_sources, grey_clip
from stp.video.writing import video_writer

WIDTH, HEIGHT, BOUND = 340, 256, 20.0


def write_synthetic_video(path: Path, frames: int = 120) -> None:
    """A blurred random texture that a camera pans over, with a part of it moving by itself."""
    noise = np.random.default_rng(0).integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.uint8)
    canvas = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    with video_writer(path, WIDTH, HEIGHT, 25, frames) as video:
        for t in range(frames):
            frame = canvas[t : t + HEIGHT, 2 * t : 2 * t + WIDTH].copy()
            frame[80:160, 100 + t : 180 + t] = canvas[300:380, 400:480]
            video.write(frame)


def extract(clips: Sequence[GreyClip], settings: FlowSettings, threads: int, folder: Path) -> FlowSummary:
    """Flow and warped flow of the clips into shards, as the tool writes them."""

    def open_clip(clip: GreyClip, pool: ThreadPoolExecutor) -> AbstractContextManager[WriteChunk]:
        writers = {}
        for modality in ("of", "wof"):
            path, parameters = folder / f"{clip.name}_{modality}.h5", shard_parameters(settings, BOUND, modality)
            writers[modality] = write_h5(FlowFile(path, modality, clip, clip.pairs(1), BOUND, parameters), pool)
        return write_chunks(writers)

    return write_flow(clips, settings, threads, open_clip)


def measure_extraction(videos: Sequence[Path], backend: str = "auto", detector: str = "orb") -> list[str]:
    """A table of threads, speed and share of the wall time inside TV-L1; a synthetic video without videos."""
    settings = FlowSettings(resolve_backend(backend), detector=detector)
    rows = ["| threads | pairs/s, both flows | inside TV-L1 | processor ms/pair |", "|--:|--:|--:|--:|"]
    with TemporaryDirectory() as folder:
        if not videos:
            videos = [Path(folder) / "synthetic.mp4"]
            write_synthetic_video(videos[0])
        clips = [grey_clip(source, examine(source), (WIDTH, HEIGHT)) for source in find_sources(list(videos))]
        first = clips[0]
        extract([GreyClip(first.name, 3, HEIGHT, WIDTH, first.read)], settings, 1, Path(folder))  # compiles
        for threads in sorted({1, len(os.sched_getaffinity(0))}):
            start = time.process_time()
            summary = extract(clips, settings, threads, Path(folder))
            cost = 1e3 * (time.process_time() - start) / summary.pairs
            rate, share = summary.pairs / summary.seconds, summary.flow_seconds / summary.seconds
            rows.append(f"| {threads} | {rate:.1f} | {100 * share:.1f} % | {cost:.1f} |")
    names = ", ".join(clip.name for clip in clips)
    return [*rows, "", f"All {summary.pairs} pairs of {names}; backend {settings.backend}, key points {detector}."]


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("videos", nargs="*", type=Path, help="videos; a synthetic one without")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--detector", default="orb", choices=["orb", "sift"])
    arguments = parser.parse_args()
    busy = os.getloadavg()[0]  # processes that others run
    rows = measure_extraction(arguments.videos, arguments.backend, arguments.detector)
    record(
        "Extraction as a whole",
        rows,
        f"Frames of {WIDTH}x{HEIGHT}; load average before the run {busy:.1f}.",
        arguments.keep,
    )


if __name__ == "__main__":
    main()
