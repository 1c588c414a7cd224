"""OpenCV's two TV-L1s: the CPU one, against which ours is tested, and the CUDA one, whose semantics differ."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import numpy as np

from stp.flow.parameters import TVL1Parameters


@contextmanager
def opencv_threads(threads: int) -> Iterator[None]:
    """Limit OpenCV to `threads` threads within the block; the former number is restored."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def opencv_available() -> bool:
    """True if this OpenCV has the contributed module with the CPU TV-L1."""
    return hasattr(cv2, "optflow")


def opencv_cuda_available() -> bool:
    """True if this OpenCV was built with the CUDA TV-L1 and sees a device."""
    return (
        hasattr(cv2, "cuda") and hasattr(cv2.cuda, "OpticalFlowDual_TVL1") and cv2.cuda.getCudaEnabledDeviceCount() > 0
    )


def use_gpu(number: int) -> None:
    """Make a GPU the one that `tvl1_opencv_cuda` computes on when this thread calls it."""
    cv2.cuda.setDevice(number)


def tvl1_opencv(previous: np.ndarray, following: np.ndarray, parameters: TVL1Parameters, threads: int) -> np.ndarray:
    """Flow (N, 2, H, W) float32 of uint8 (N, H, W) pairs by `cv2.optflow`, one at a time: it is not thread-safe."""
    p = parameters
    solver = cv2.optflow.DualTVL1OpticalFlow.create(
        tau=p.tau,
        lambda_=p.lambda_,
        theta=p.theta,
        nscales=p.nscales,
        warps=p.warps,
        epsilon=p.epsilon,
        outerIterations=p.outer,
        scaleStep=p.scale_step,
        medianFiltering=p.median_filter,
    )
    solver.setInnerIterations(p.inner)  # the keyword's spelling varies between versions
    flow = np.empty((len(previous), 2, *previous.shape[1:]), np.float32)
    with opencv_threads(threads):
        for n, (first, second) in enumerate(zip(previous, following, strict=True)):
            field = np.empty((*first.shape, 2), np.float32)
            flow[n] = solver.calc(np.ascontiguousarray(first), np.ascontiguousarray(second), field).transpose(2, 0, 1)
    return flow


def tvl1_opencv_cuda(
    previous: np.ndarray, following: np.ndarray, parameters: TVL1Parameters, streams: int = 1
) -> np.ndarray:
    """Flow (N, 2, H, W) float32 of N pairs of uint8 (N, H, W) frames by `cv2.cuda`.

    The numbers are not the CPU's: there is no median filter; inner x outer iterations run in one loop, with a stop test
    on some iterations only; the cubic warp has a = -0.5 and renormalised weights, and the pyramid no half-pixel shift.

    `streams` pairs are computed at a time, each in its own thread, because the stop test makes the caller wait. They
    compute on the GPU of the thread that calls.
    """
    p = parameters
    gpu = cv2.cuda.getDevice()
    flow = np.empty((len(previous), 2, *previous.shape[1:]), np.float32)

    def compute(pairs: range) -> None:
        cv2.cuda.setDevice(gpu)  # a thread begins on the first one
        solver = cv2.cuda.OpticalFlowDual_TVL1.create(  # type: ignore[attr-defined]  # not in a build without CUDA
            p.tau, p.lambda_, p.theta, p.nscales, p.warps, p.epsilon, p.inner * p.outer, p.scale_step, 0.0, False
        )
        stream = cv2.cuda.Stream()  # on the null stream every kernel would wait for the device
        first, second, field = cv2.cuda.GpuMat(), cv2.cuda.GpuMat(), cv2.cuda.GpuMat()
        for n in pairs:
            first.upload(np.ascontiguousarray(previous[n]), stream)
            second.upload(np.ascontiguousarray(following[n]), stream)
            field = solver.calc(first, second, field, stream)
            host = field.download(stream=stream)
            stream.waitForCompletion()
            flow[n] = host.transpose(2, 0, 1)

    with ThreadPoolExecutor(streams) as pool:
        for _ in pool.map(compute, (range(k, len(previous), streams) for k in range(streams))):
            pass  # a job's error is raised here
    return flow
