"""Decoding by PyAV beside OpenCV's reader: frames per second of processor time, and whether the frames are the same.

    python benchmarks/decoding.py VIDEO...    # videos, or folders of them

"check" decodes every frame without converting it, as the index does: here with errors, time stamps and the end looked
at. "frames" also makes a BGR image of each. Both sides take turns in one process, with one thread. Prints a table of
medians and keeps it in benchmarks/RESULTS.md.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from record import benchmark_parser, record

from stp.video.decoding import decode, examine_video
from stp.video.sources import find_sources

TURNS = 5


def opened(video: Path) -> cv2.VideoCapture:
    return cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def grabbed(video: Path) -> int:
    """Number of frames that OpenCV decodes without converting them."""
    capture, frames = opened(video), 0
    while capture.grab():
        frames += 1
    return frames


def read(video: Path) -> int:
    """Number of frames that OpenCV decodes to RGB in their own size."""
    capture, frames = opened(video), 0
    while (found := capture.read())[0]:
        cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB)
        frames += 1
    return frames


def checked(video: Path) -> int:
    return examine_video(str(video)).frames


def decoded(video: Path) -> int:
    height, width = size(video)
    return sum(1 for _ in decode(str(video), width, height))


def size(video: Path) -> tuple[int, int]:
    """Height and width of the first frame."""
    height, width = opened(video).read()[1].shape[:2]
    return height, width


def same(video: Path) -> bool:
    """True if both sides give the same bytes."""
    capture = opened(video)
    height, width = size(video)
    for frame in decode(str(video), width, height):
        found, image = capture.read()
        if not found or not np.array_equal(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), frame):
            return False
    return not capture.grab()


def measure(videos: Sequence[Path]) -> list[str]:
    """The table of both sides."""
    sides: dict[str, Callable[[Path], int]] = {
        "check, OpenCV": grabbed,
        "check, stp": checked,
        "frames, OpenCV": read,
        "frames, stp": decoded,
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(TURNS):
        for name, count in sides.items():
            began = time.process_time()
            frames = sum(map(count, videos))
            rates[name].append(frames / (time.process_time() - began))
    middle = {name: median(values) for name, values in rates.items()}
    rows = ["| work | OpenCV, frames/s | stp, frames/s | ratio |", "|:--|--:|--:|--:|"]
    for work in ("check", "frames"):
        theirs, ours = middle[f"{work}, OpenCV"], middle[f"{work}, stp"]
        rows.append(f"| {work} | {theirs:,.0f} | {ours:,.0f} | {ours / theirs:.2f} |")
    equal = sum(map(same, videos))
    return [*rows, "", f"{frames:,} frames of {len(videos)} videos; {equal} of {len(videos)} have the same bytes."]


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    arguments = parser.parse_args()
    videos = [source.path for source in find_sources(arguments.videos)]
    record("Decoding", measure(videos), "Processor time.", keep=arguments.keep)


if __name__ == "__main__":
    main()
