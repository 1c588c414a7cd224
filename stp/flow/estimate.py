"""TV-L1 optical flow of pairs of frames, by one of several backends."""

import os

import numpy as np

from stp.errors import UserError
from stp.flow.numba_engine import tvl1_numba
from stp.flow.opencv_engines import opencv_available, opencv_cuda_available, tvl1_opencv, tvl1_opencv_cuda
from stp.flow.parameters import TVL1Parameters

BACKENDS = ("numba", "opencv", "opencv-cuda")


def available_backends() -> tuple[str, ...]:
    """Backends that run on this machine, the default first."""
    present = {"numba": True, "opencv": opencv_available(), "opencv-cuda": opencv_cuda_available()}
    return tuple(name for name in BACKENDS if present[name])


def resolve_backend(backend: str = "auto") -> str:
    """Name of the backend that will run; "auto" is "numba" everywhere: no result depends on the machine.

    Raises:
        UserError: an unknown backend, or one that this machine lacks.
    """
    available = available_backends()
    if backend == "auto":
        return available[0]
    if backend not in available:
        why = "is not available on this machine" if backend in BACKENDS else "is unknown"
        raise UserError(f"flow backend: {backend!r} {why}; choose one of: {', '.join(('auto', *available))}")
    return backend


def tvl1(
    previous: np.ndarray,
    following: np.ndarray,
    backend: str = "auto",
    threads: int | None = None,
    parameters: TVL1Parameters | None = None,
) -> np.ndarray:
    """Optical flow of N pairs of frames by duality-based TV-L1 (Zach, Pock and Bischof 2007; OpenCV's defaults).

    Args:
        previous: uint8 (N, H, W), grey values 0..255.
        following: uint8 (N, H, W), the frame after each of `previous`.
        backend: "auto" (which is "numba"); "numba", the semantics of OpenCV's CPU implementation, pairs in parallel;
            "opencv", that implementation itself, some 30 times slower; "opencv-cuda", OpenCV on a GPU, whose semantics
            differ: no median filter, another stop test, another cubic warp and another pyramid.
        threads: CPU threads, all by default; the result does not depend on it.
        parameters: OpenCV's defaults unless given.

    Returns:
        float32 (N, 2, H, W), pixels/frame; channel 0 is x (rightwards), channel 1 is y (downwards).

    Raises:
        UserError: the backend is unknown or absent.
        ValueError: frames of another shape or type, or `threads` under 1.
    """
    for name, frames in (("previous", previous), ("following", following)):
        if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
            raise ValueError(f"{name} must be an array of uint8, not {getattr(frames, 'dtype', type(frames).__name__)}")
        if frames.ndim != 3 or 0 in frames.shape[1:]:
            raise ValueError(f"{name} must be grey frames (N, H, W), not of shape {frames.shape}")
    if previous.shape != following.shape:
        raise ValueError(f"previous and following must have one shape, not {previous.shape} and {following.shape}")
    threads = len(os.sched_getaffinity(0)) if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    backend = resolve_backend(backend)
    parameters = parameters or TVL1Parameters()
    if len(previous) == 0:
        return np.empty((0, 2, *previous.shape[1:]), np.float32)
    if backend == "opencv":
        return tvl1_opencv(previous, following, parameters, threads)
    if backend == "opencv-cuda":
        return tvl1_opencv_cuda(previous, following, parameters)
    return tvl1_numba(previous, following, parameters, threads)
