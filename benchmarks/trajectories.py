"""Improved trajectories: frames/s of one core, with the flow given as stored bytes, and with Farneback's flow.

    python benchmarks/trajectories.py               # a synthetic clip
    python benchmarks/trajectories.py a.avi b.avi   # videos, resized to 340x256

Processor time of one thread, after a first run that compiles; decoding is left out. Prints a table and appends it to
benchmarks/RESULTS.md.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from extraction import BOUND, HEIGHT, WIDTH, write_synthetic_video
from record import benchmark_parser, record

from stp.flow import dequantise, quantise
from stp.flow.opencv_engines import opencv_threads
from stp.trajectories import FarnebackFlow, FlowOfPair, TrajectoryParameters, given_flow, trajectories
from stp.video.decoding import decode_grey

MOST_FRAMES = 200  # of a video


def stored_flow(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Flow and warped flow of a clip as bytes (T - 1, 2, 2, H, W); Farneback's, which takes less time than TV-L1."""
    source, parameters, fields = FarnebackFlow(), TrajectoryParameters(scales=1), []

    def keep(previous: Sequence[np.ndarray], following: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], ...]:
        flow, warped = source(previous, following)
        fields.append(quantise(np.stack([flow[0], warped[0]]), BOUND))
        return flow, warped

    for _ in trajectories(frames, len(frames), keep, parameters):  # type: ignore[arg-type]
        pass
    return np.stack(fields)


def given(fields: np.ndarray) -> FlowOfPair:
    """The flows of a clip, made from bytes as they are needed, as for stored clips."""
    pairs: Iterator[np.ndarray] = (dequantise(pair, BOUND) for pair in fields)
    return given_flow((flow, warped) for flow, warped in pairs)


def measure(clips: Sequence[Sequence[np.ndarray]], sources: Sequence[Callable[[], FlowOfPair]]) -> str:
    """A row's figures: frames/s of processor time, milliseconds a frame and trajectories a frame."""
    frames = found = 0
    start = time.process_time()
    for clip, source in zip(clips, sources, strict=True):
        frames += len(clip)
        found += sum(len(each.points) for each in trajectories(clip, len(clip), source(), TrajectoryParameters()))
    seconds = time.process_time() - start
    return f"{frames / seconds:.1f} | {1e3 * seconds / frames:.1f} | {found / frames:.0f}"


def measure_trajectories(videos: Sequence[Path]) -> tuple[list[str], int]:
    """A table of both flows, and the number of frames."""
    with TemporaryDirectory() as folder, opencv_threads(1):
        if not videos:
            videos = [Path(folder) / "synthetic.mp4"]
            write_synthetic_video(videos[0])
        clips = [list(decode_grey(str(video), WIDTH, HEIGHT))[:MOST_FRAMES] for video in videos]
        stored = [stored_flow(clip) for clip in clips]
        measure([clip[:17] for clip in clips[:1]], [lambda: given(stored[0])])  # compiles
        rows = ["| flow | frames/s, one core | ms/frame | trajectories/frame |", "|:--|--:|--:|--:|"]
        bytes_of = [lambda fields=fields: given(fields) for fields in stored]
        rows.append(f"| given, as bytes | {measure(clips, bytes_of)} |")
        rows.append(f"| Farneback, and warped | {measure(clips, [FarnebackFlow] * len(clips))} |")
    return rows, sum(map(len, clips))


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("videos", nargs="*", type=Path, help="videos; a synthetic one without")
    arguments = parser.parse_args()
    busy = os.getloadavg()[0]  # processes that others run
    rows, frames = measure_trajectories(arguments.videos)
    names = ", ".join(video.stem for video in arguments.videos) or "the synthetic clip"
    remarks = f"{frames} frames of {WIDTH}x{HEIGHT} of {names}; load average before the run {busy:.1f}."
    record("Improved trajectories", rows, remarks, keep=arguments.keep)


if __name__ == "__main__":
    main()
