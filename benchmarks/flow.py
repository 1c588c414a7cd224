"""TV-L1 by every backend of this machine, beside OpenCV's, and what warped flow costs on top, all in one run.

    python benchmarks/flow.py                     # a synthetic texture
    python benchmarks/flow.py a.avi b.avi         # consecutive frames of videos, resized to 340x256 grey
    python benchmarks/flow.py --gpu-only --gpu-copies 20 --streams 4 8 a.avi   # a minute on a GPU

Prints tables and appends them to benchmarks/RESULTS.md. The contestants take turns, and medians over the turns are
compared, so that a ratio suffers little from whatever else the machine does. OpenCV's CPU TV-L1 runs in processes where
several cores work, since it is not thread-safe; numba's in threads. GPU backends get the pairs `--gpu-copies` times, as
a data set would give them; OpenCV's on the best of several numbers of streams. The last table is that of extraction.py.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from extraction import BOUND, measure_extraction
from record import benchmark_parser, record

from stp.flow import TVL1Parameters, available_backends, quantise, tvl1
from stp.flow.opencv_engines import opencv_threads, tvl1_opencv_cuda
from stp.warped import Alignment, align, detect_keypoints, flow_to_aligned

WIDTH, HEIGHT = 340, 256
CPU, CUDA = TVL1Parameters(), TVL1Parameters(semantics="opencv-cuda")

Contestants = dict[str, Callable[[], object]]


def read_clip(video: str, count: int) -> np.ndarray:
    """The first `count` frames of a video after the fifth, uint8 (count, H, W) grey."""
    capture, frames = cv2.VideoCapture(video), []
    for _ in range(5 + count):
        read, frame = capture.read()
        if not read:
            raise SystemExit(f"{video}: cannot be read or has fewer than {5 + count} frames")
        frames.append(cv2.cvtColor(cv2.resize(frame, (WIDTH, HEIGHT)), cv2.COLOR_BGR2GRAY))
    return np.stack(frames[5:])


def synthetic_clip(count: int) -> np.ndarray:
    """`count` frames of a blurred random texture that a camera pans and zooms over, uint8 (count, H, W)."""
    noise = np.random.default_rng(0).normal(size=(3 * HEIGHT, 3 * WIDTH)).astype(np.float32)
    scales = np.sum([cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 10)], axis=0)
    canvas = cv2.normalize(scales, np.empty(0), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    frames = []
    for t in range(count):
        zoom = 1 + 0.004 * t
        matrix = np.array([[zoom, 0, WIDTH + 2.3 * t], [0, zoom, HEIGHT - 1.1 * t]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(canvas, matrix, (WIDTH, HEIGHT), flags=flags))
    return np.stack(frames)


def opencv_one_thread(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    return tvl1(previous, following, backend="opencv", threads=1)


def take_turns(contestants: Contestants, turns: int, twice: bool = False) -> dict[str, float]:
    """Median seconds of each contestant, called in turn after one call each to warm up.

    `twice` calls it once more before each measured call, for those that keep buffers for the last parameters alone.
    """
    for call in contestants.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, call in contestants.items():
            if twice:
                call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def align_clips(clips: list[np.ndarray], flows: list[np.ndarray], detector: str) -> list[Alignment]:
    """All that warped flow adds to two flows, on one thread: key points of each frame, homographies and warps."""
    alignments = []
    with opencv_threads(1):
        for frames, flow in zip(clips, flows, strict=True):
            keypoints = [detect_keypoints(frame, detector) for frame in frames]
            for pair, field, points in zip(pairwise(frames), flow, pairwise(keypoints), strict=True):
                alignments.append(align(*pair, field, *points))
    return alignments


def agreement(flow: np.ndarray, oracle: np.ndarray) -> str:
    error = np.linalg.norm(flow - oracle, axis=1)
    off = np.abs(quantise(flow, BOUND).astype(int) - quantise(oracle, BOUND)) > 1
    return (
        f"mean end-point difference {error.mean():.4f} px, 99th percentile {np.percentile(error, 99):.3f} px; "
        f"bytes (bound {BOUND:g}) off by more than 1: {100 * off.mean():.3f} %"
    )


def cpu_rows(clips: list[np.ndarray], turns: int) -> list[str]:
    """The CPU's backends and the cost of warped flow."""
    previous = np.concatenate([clip[:-1] for clip in clips])
    following = np.concatenate([clip[1:] for clip in clips])
    pairs, cores = len(previous), len(os.sched_getaffinity(0))
    chunks = [np.arange(pairs)[k::cores] for k in range(cores)]
    flows = [tvl1(clip[:-1], clip[1:]) for clip in clips]

    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:

        def opencv_processes() -> None:
            for job in [pool.submit(opencv_one_thread, previous[chunk], following[chunk]) for chunk in chunks]:
                job.result()

        opencv, ours, cuda = "OpenCV, 1 thread", "numba, 1 thread", "numba, opencv-cuda semantics, 1 thread"
        opencv_all, ours_all = f"OpenCV, {cores} processes", f"numba, {cores} threads"
        extra = {detector: f"warped flow but its second flow, {detector}, 1 thread" for detector in ("orb", "sift")}
        contestants: Contestants = {
            opencv: lambda: opencv_one_thread(previous, following),
            ours: lambda: tvl1(previous, following, "numba", 1),
            cuda: lambda: tvl1(previous, following, "numba", 1, CUDA),
            opencv_all: opencv_processes,
            ours_all: lambda: tvl1(previous, following, "numba", cores),
            extra["orb"]: lambda: align_clips(clips, flows, "orb"),
            extra["sift"]: lambda: align_clips(clips, flows, "sift"),
        }
        seconds = take_turns(contestants, turns)

    notes = {
        ours: f"{seconds[opencv] / seconds[ours]:.1f} x OpenCV",
        cuda: f"{seconds[opencv] / seconds[cuda]:.1f} x OpenCV's CPU implementation",
        ours_all: f"{seconds[opencv_all] / seconds[ours_all]:.1f} x OpenCV",
    } | {name: f"{100 * seconds[name] / seconds[ours]:.0f} % of a flow" for name in extra.values()}
    rows = ["| CPU | ms/pair (median) | pairs/s | |", "|---|--:|--:|---|"]
    rows += [
        f"| {name} | {1e3 * total / pairs:.1f} | {pairs / total:.1f} | {notes.get(name, '')} |"
        for name, total in seconds.items()
    ]
    flow = np.concatenate(flows)
    repeated = tvl1(previous[::-1], following[::-1], "numba", 1)[::-1]
    motion = [np.median(np.linalg.norm(flow, axis=1))]
    for detector in extra:
        alignments = align_clips(clips, flows, detector)
        aligned = np.stack([alignment.frame for alignment in alignments])
        warped = flow_to_aligned(previous, aligned, flow, [alignment.estimate for alignment in alignments], tvl1)
        motion.append(np.median(np.linalg.norm(warped.flow, axis=1)))
    return [
        *rows,
        "",
        f"- numba and OpenCV: {agreement(flow, opencv_one_thread(previous, following))}.",
        f"- Bit-equal over threads, batches and order of pairs: {'yes' if np.array_equal(flow, repeated) else 'NO'}.",
        f"- Median flow {motion[0]:.2f} px/frame; warped {motion[1]:.2f} (ORB), {motion[2]:.2f} (SIFT).",
    ]


def gpu_rows(clips: list[np.ndarray], turns: int, copies: int, numbers_of_streams: list[int]) -> list[str]:
    """The GPU's backends, if there is a GPU."""
    present = set(available_backends("opencv-cpu")) | set(available_backends("opencv-cuda"))
    absent = {"triton", "opencv-cuda"} - present
    rows = [f"- Not run here: {', '.join(sorted(absent))}."] if absent else []
    if len(absent) == 2:
        return rows
    previous = np.concatenate([clip[:-1] for clip in clips])
    following = np.concatenate([clip[1:] for clip in clips])
    first, second = np.concatenate([previous] * copies), np.concatenate([following] * copies)
    contestants: Contestants = {}
    if "triton" in present:
        contestants["triton"] = lambda: tvl1(first, second, "triton")
        contestants["triton, opencv-cuda semantics"] = lambda: tvl1(first, second, "triton", parameters=CUDA)
        rows.append(f"- triton and numba: {agreement(tvl1(previous, following, 'triton'), tvl1(previous, following))}.")
    if "opencv-cuda" in present:
        for streams in numbers_of_streams:
            contestants[f"OpenCV CUDA, {streams} streams"] = partial(tvl1_opencv_cuda, first, second, CUDA, streams)
        oracle = tvl1(previous, following, "opencv-cuda", parameters=CUDA)
        for backend in sorted({"numba", "triton"} & present):
            flow = tvl1(previous, following, backend, parameters=CUDA)
            rows.append(f"- {backend} and OpenCV CUDA, opencv-cuda semantics: {agreement(flow, oracle)}.")
    seconds, pairs = take_turns(contestants, turns, twice=True), len(first)
    opencv = min((total for name, total in seconds.items() if name.startswith("OpenCV")), default=0.0)
    table = ["", f"| GPU, {pairs} pairs a call, transfers included | pairs/s | |", "|---|--:|---|"]
    for name, total in seconds.items():
        note = f"{opencv / total:.1f} x OpenCV CUDA" if opencv and name.startswith("triton") else ""
        table.append(f"| {name} | {pairs / total:.0f} | {note} |")
    return [*table, "", *rows]


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("videos", nargs="*", help="videos to take consecutive frames from; a synthetic texture without")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of frames from each video")
    parser.add_argument("--turns", type=int, default=5, help="measurements, of which the median counts")
    parser.add_argument("--gpu-copies", type=int, default=100, help="how often GPU backends get the pairs in one call")
    parser.add_argument("--gpu-only", action="store_true", help="leave out the CPU's backends and extraction")
    parser.add_argument(
        "--streams",
        type=int,
        nargs="+",
        default=[1, 2, 4, 8, 16],
        help="of OpenCV CUDA, the best of which counts",
    )
    arguments = parser.parse_args()
    clips = [read_clip(video, arguments.pairs + 1) for video in arguments.videos]
    source = ", ".join(Path(video).stem for video in arguments.videos) or "synthetic texture"
    busy = os.getloadavg()[0]  # processes that others run: they take from the figures of several cores above all
    clips = clips or [synthetic_clip(arguments.pairs + 1)]
    rows = [] if arguments.gpu_only else cpu_rows(clips, arguments.turns)
    rows += gpu_rows(clips, arguments.turns, arguments.gpu_copies, arguments.streams)
    if not arguments.gpu_only:
        rows += ["", "Extraction as a whole: decoding, flow, warped flow, quantising, writing.", ""]
        rows += measure_extraction([Path(video) for video in arguments.videos])
    remarks = (
        f"{sum(len(clip) - 1 for clip in clips)} pairs of {WIDTH}x{HEIGHT} from {source}; medians of "
        f"{arguments.turns} turns; load average before the run {busy:.1f}."
    )
    record("TV-L1 flow on a GPU" if arguments.gpu_only else "TV-L1 flow", rows, remarks, arguments.keep)


if __name__ == "__main__":
    main()
