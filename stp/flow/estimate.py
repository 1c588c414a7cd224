"""TV-L1 optical flow of pairs of frames, by one of several backends."""

import numpy as np

from stp.errors import UserError
from stp.flow.arrays import Array, as_numpy, is_tensor, like
from stp.flow.numba_engine import tvl1_numba
from stp.flow.opencv_engines import opencv_available, opencv_cuda_available, tvl1_opencv, tvl1_opencv_cuda
from stp.flow.parameters import SEMANTICS, TVL1Parameters
from stp.system.machine import processors

# Backends and the semantics that each computes; modules that need torch are imported when they are used.
BACKENDS = {
    "numba": SEMANTICS,
    "triton": SEMANTICS,
    "torch": SEMANTICS,
    "opencv": ("opencv-cpu",),
    "opencv-cuda": ("opencv-cuda",),
}


def backend_available(backend: str) -> bool:
    """True if a backend, one of BACKENDS, runs on this machine."""
    if backend == "triton":
        from stp.system.triton_support import triton_available

        return triton_available()
    return {"opencv": opencv_available, "opencv-cuda": opencv_cuda_available}.get(backend, lambda: True)()


def available_backends(semantics: str = "opencv-cpu") -> tuple[str, ...]:
    """The backends that compute a semantics on this machine, the default first."""
    return tuple(name for name, known in BACKENDS.items() if semantics in known and backend_available(name))


def resolve_backend(backend: str = "auto", semantics: str = "opencv-cpu") -> str:
    """The name of the backend that will run; "auto" is "numba" everywhere: no result depends on the machine.

    Raises:
        UserError: an unknown backend, or one that this machine lacks or that does not compute the semantics.
    """
    if backend == "auto":
        return "numba"
    if backend not in BACKENDS:
        raise UserError(f"flow backend: {backend!r} is unknown; choose one of: auto, {', '.join(BACKENDS)}")
    if semantics not in BACKENDS[backend]:
        raise UserError(
            f"flow backend: {backend!r} computes the semantics {BACKENDS[backend][0]}, not {semantics}; "
            f"choose that semantics or one of: auto, {', '.join(available_backends(semantics))}"
        )
    if not backend_available(backend):
        choice = ", ".join(("auto", *available_backends(semantics)))
        raise UserError(f"flow backend: {backend!r} is not available on this machine; choose one of: {choice}")
    return backend


def tvl1(
    previous: Array,
    following: Array,
    backend: str = "auto",
    threads: int | None = None,
    parameters: TVL1Parameters | None = None,
) -> Array:
    """Optical flow of N pairs of frames by duality-based TV-L1 (Zach, Pock and Bischof 2007; OpenCV's defaults).

    Args:
        previous: uint8 (N, H, W), grey values 0..255; NumPy arrays, or torch tensors on any device.
        following: uint8 (N, H, W), the frame after each of `previous`.
        backend: "auto" (which is "numba"); "numba", pairs in parallel on the CPU; "triton", batches of pairs on an
            NVIDIA GPU; "torch", the plain statement of the same steps, slow, on a GPU if there is one; "opencv",
            OpenCV's CPU implementation, more than 25 times slower than "numba"; "opencv-cuda", OpenCV on a GPU.
            Where tensors live does not choose it.
        threads: CPU threads, all by default; the result does not depend on it.
        parameters: by default OpenCV's, with the semantics of its CPU implementation. "opencv" computes only these
            semantics, "opencv-cuda" only the others.

    Returns:
        float32 (N, 2, H, W), pixels/frame; channel 0 is x (rightwards), channel 1 is y (downwards). Tensors give a
        tensor on their device.

    Raises:
        UserError: the backend is unknown or absent, or does not compute the semantics asked for.
        ValueError: frames of another shape or type, an array beside a tensor, or `threads` under 1.
    """
    if is_tensor(previous) != is_tensor(following):
        raise ValueError("previous and following must both be NumPy arrays, or both torch tensors")
    pair = as_numpy(previous, "previous"), as_numpy(following, "following")
    for name, frames in zip(("previous", "following"), pair, strict=True):
        if frames.dtype != np.uint8:
            raise ValueError(f"{name} must be uint8, grey values 0..255, not {frames.dtype}")
        if frames.ndim != 3 or 0 in frames.shape[1:]:
            raise ValueError(f"{name} must be grey frames (N, H, W), not of shape {frames.shape}")
    if pair[0].shape != pair[1].shape:
        raise ValueError(f"previous and following must have one shape, not {pair[0].shape} and {pair[1].shape}")
    threads = processors() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    parameters = parameters or TVL1Parameters()
    return like(_flow(*pair, resolve_backend(backend, parameters.semantics), threads, parameters), previous)


def _flow(
    previous: np.ndarray, following: np.ndarray, backend: str, threads: int, parameters: TVL1Parameters
) -> np.ndarray:
    """Flow by a backend that is there."""
    if len(previous) == 0:
        return np.empty((0, 2, *previous.shape[1:]), np.float32)
    match backend:
        case "opencv":
            return tvl1_opencv(previous, following, parameters, threads)
        case "opencv-cuda":
            return tvl1_opencv_cuda(previous, following, parameters)
        case "torch":
            import torch

            from stp.flow.torch_engine import tvl1_torch

            return tvl1_torch(previous, following, parameters, "cuda" if torch.cuda.is_available() else "cpu")
        case "triton":
            from stp.flow.triton_engine import tvl1_triton

            return tvl1_triton(previous, following, parameters)
        case _:
            return tvl1_numba(previous, following, parameters, threads)
