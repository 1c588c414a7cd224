"""Speed and agreement of the numba TV-L1 beside OpenCV's, and what warped flow costs on top, all in one run.

    python benchmarks/flow.py                     # a synthetic texture
    python benchmarks/flow.py a.avi b.avi         # consecutive frames of videos, resized to 340x256 grey

Prints a table and appends it to benchmarks/RESULTS.md. The contestants take turns, and medians over the turns are
compared, so that a ratio suffers little from whatever else the machine does. OpenCV's TV-L1 runs in processes where
several cores work, since it is not thread-safe; numba's in threads.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from record import record

from stp.flow import quantise, tvl1
from stp.warped import warped_flow

WIDTH, HEIGHT = 340, 256


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
    canvas = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 10))
    canvas = cv2.normalize(canvas, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    frames = []
    for t in range(count):
        zoom = 1 + 0.004 * t
        matrix = np.array([[zoom, 0, WIDTH + 2.3 * t], [0, zoom, HEIGHT - 1.1 * t]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(canvas, matrix, (WIDTH, HEIGHT), flags=flags))
    return np.stack(frames)


def opencv_one_thread(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    return tvl1(previous, following, backend="opencv", threads=1)


def take_turns(contestants: dict[str, Callable[[], np.ndarray]], turns: int) -> tuple[dict[str, float], dict]:
    """Median seconds and last result of each contestant, called in turn after one call each to warm up."""
    results = {name: call() for name, call in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, call in contestants.items():
            start = time.perf_counter()
            results[name] = call()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}, results


def benchmark(clips: list[np.ndarray], turns: int) -> list[str]:
    """Rows of the table."""
    previous = np.concatenate([clip[:-1] for clip in clips])
    following = np.concatenate([clip[1:] for clip in clips])
    pairs, cores = len(previous), len(os.sched_getaffinity(0))
    chunks = [np.arange(pairs)[k::cores] for k in range(cores)]
    flows = [tvl1(clip[:-1], clip[1:]) for clip in clips]

    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:

        def opencv_processes() -> np.ndarray:
            flow = np.empty((pairs, 2, HEIGHT, WIDTH), np.float32)
            jobs = [pool.submit(opencv_one_thread, previous[chunk], following[chunk]) for chunk in chunks]
            for chunk, job in zip(chunks, jobs, strict=True):
                flow[chunk] = job.result()
            return flow

        def warp(detector: str) -> np.ndarray:
            warped = [warped_flow(*clip, detector, threads=1) for clip in zip(clips, flows, strict=True)]
            return np.concatenate([result.flow for result in warped])

        contestants: dict[str, Callable[[], np.ndarray]] = {
            "OpenCV, 1 thread": lambda: opencv_one_thread(previous, following),
            "numba, 1 thread": lambda: tvl1(previous, following, backend="numba", threads=1),
            f"OpenCV, {cores} processes": opencv_processes,
            f"numba, {cores} threads": lambda: tvl1(previous, following, backend="numba", threads=cores),
            "warped flow, ORB, 1 thread": lambda: warp("orb"),
            "warped flow, SIFT, 1 thread": lambda: warp("sift"),
        }
        seconds, results = take_turns(contestants, turns)

    opencv, ours, opencv_all, ours_all, orb, sift = contestants
    rows = ["| | ms/pair (median) | pairs/s | |", "|---|--:|--:|---|"]
    notes = {
        ours: f"{seconds[opencv] / seconds[ours]:.1f} x OpenCV",
        ours_all: f"{seconds[opencv_all] / seconds[ours_all]:.1f} x OpenCV",
        orb: f"{100 * seconds[orb] / seconds[ours]:.0f} % of a flow, second flow included",
        sift: f"{100 * seconds[sift] / seconds[ours]:.0f} % of a flow, second flow included",
    }
    for name, total in seconds.items():
        rows.append(f"| {name} | {1e3 * total / pairs:.1f} | {pairs / total:.1f} | {notes.get(name, '')} |")
    error = np.linalg.norm(results[ours] - results[opencv], axis=1)
    off = np.abs(quantise(results[ours]).astype(int) - quantise(results[opencv])) > 1
    motion = [float(np.median(np.linalg.norm(results[name], axis=1))) for name in (ours, orb, sift)]
    rows += [
        "",
        f"Agreement with OpenCV: mean end-point difference {error.mean():.4f} px, 99th percentile "
        f"{np.percentile(error, 99):.3f} px; bytes (bound 20) off by more than 1: {100 * off.mean():.3f} %. "
        f"Bit-equal over threads: {'yes' if np.array_equal(results[ours], results[ours_all]) else 'NO'}. "
        f"Median flow {motion[0]:.2f} px/frame, warped {motion[1]:.2f} (ORB), {motion[2]:.2f} (SIFT).",
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", help="videos to take consecutive frames from; a synthetic texture without")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of frames from each video")
    parser.add_argument("--turns", type=int, default=5, help="measurements, of which the median counts")
    arguments = parser.parse_args()
    clips = [read_clip(video, arguments.pairs + 1) for video in arguments.videos]
    source = ", ".join(Path(video).stem for video in arguments.videos) or "synthetic texture"
    busy = os.getloadavg()[0]  # processes that others run: they take from the figures of several cores above all
    rows = benchmark(clips or [synthetic_clip(arguments.pairs + 1)], arguments.turns)
    pairs = arguments.pairs * max(len(clips), 1)
    remarks = (
        f"{pairs} pairs of {WIDTH}x{HEIGHT} from {source}; medians of {arguments.turns} turns; "
        f"load average before the run {busy:.1f}."
    )
    record("TV-L1 flow", rows, remarks)


if __name__ == "__main__":
    main()
