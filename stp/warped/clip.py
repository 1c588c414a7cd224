"""Warped flow of a whole clip."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import numpy as np

from stp.flow import TVL1Parameters, resolve_backend, tvl1
from stp.flow.opencv_engines import opencv_threads
from stp.system.machine import processors
from stp.warped.alignment import HomographyEstimate, estimate_homography
from stp.warped.keypoints import background_mask, detect_keypoints
from stp.warped.parameters import WarpedFlowParameters
from stp.warped.warping import warp_following, warp_following_cuda


@dataclass(frozen=True)
class WarpedFlow:
    """Warped flow of T frames and the camera's motion that it is free of."""

    flow: np.ndarray  # (T-1, 2, H, W) float32, pixels/frame
    homographies: np.ndarray  # (T-1, 3, 3) float64
    inliers: np.ndarray  # (T-1,) int32
    identity: np.ndarray  # (T-1,) bool


def warped_flow(
    frames_grey: np.ndarray,
    flow: np.ndarray,
    detector: str = "orb",
    backend: str = "auto",
    threads: int | None = None,
    parameters: WarpedFlowParameters | None = None,
    flow_parameters: TVL1Parameters | None = None,
    boxes: Sequence[np.ndarray] | None = None,
) -> WarpedFlow:
    """Flow of a clip after the camera's motion is cancelled.

    Args:
        frames_grey: uint8 (T, H, W), grey values 0..255.
        flow: float32 (T-1, 2, H, W), pixels/frame, channel 0 is x.
        detector: "orb", or "sift", which costs about ten times as much.
        backend: of the second flow, as for `stp.flow.tvl1`.
        threads: CPU threads, all by default; the result does not depend on it.
        parameters: thresholds, those of improved trajectories by default.
        flow_parameters: of the second flow, OpenCV's defaults unless given.
        boxes: per frame the person boxes (n, 4) of x0, y0, x1, y1 in pixels; points inside are left out.

    Returns:
        The warped flow. A pair without a homography keeps the flow it had.

    Raises:
        UserError: the detector or the backend is unknown.
        ValueError: frames, flow or boxes of another shape or type.
    """
    p = parameters or WarpedFlowParameters()
    check_clip(frames_grey, flow, boxes)
    tvl1_parameters = flow_parameters or TVL1Parameters()
    backend = resolve_backend(backend, tvl1_parameters.semantics)
    workers = threads or processors()
    shape = frames_grey.shape[1:]
    masks = [None] * len(frames_grey) if boxes is None else [background_mask(shape, rows) for rows in boxes]
    with opencv_threads(1), ThreadPoolExecutor(workers) as pool:
        keypoints = list(pool.map(detect_keypoints, frames_grey, repeat(detector), masks, repeat(p)))
        pairs = (frames_grey[:-1], frames_grey[1:], flow, keypoints[:-1], keypoints[1:], repeat(p), masks[:-1])
        estimates = list(pool.map(estimate_homography, *pairs))
        moving = np.flatnonzero([not estimate.identity for estimate in estimates])
        matrices = [estimates[t].matrix for t in moving]
        previous, following = frames_grey[moving], frames_grey[moving + 1]
        aligned = frames_grey[1:].copy()
        if len(moving) and backend == "opencv-cuda":
            aligned[moving] = warp_following_cuda(previous, following, np.array(matrices), p.border)
        elif len(moving):
            aligned[moving] = list(pool.map(warp_following, previous, following, matrices, repeat(p.border)))
    compute = partial(tvl1, backend=backend, threads=threads, parameters=tvl1_parameters)
    return flow_to_aligned(frames_grey[:-1], aligned, flow, estimates, compute)


def flow_to_aligned(
    previous: np.ndarray,
    aligned: np.ndarray,
    flow: np.ndarray,
    estimates: Sequence[HomographyEstimate],
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> WarpedFlow:
    """Warped flow of N pairs whose second frames are aligned, uint8 (N, H, W); `compute` is TV-L1 of such frames.

    A pair without a homography keeps its `flow`, float32 (N, 2, H, W).
    """
    identity = np.array([estimate.identity for estimate in estimates], bool)
    if not identity.any():
        flow = compute(previous, aligned)
    else:
        flow = flow.copy()
        if not identity.all():
            flow[~identity] = compute(previous[~identity], aligned[~identity])
    return WarpedFlow(
        flow=flow,
        homographies=np.array([estimate.matrix for estimate in estimates], np.float64).reshape(-1, 3, 3),
        inliers=np.array([estimate.inliers for estimate in estimates], np.int32),
        identity=identity,
    )


def check_clip(frames: np.ndarray, flow: np.ndarray, boxes: Sequence[np.ndarray] | None) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 3 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 (T, H, W), not {frames.dtype} {frames.shape}")
    if flow.dtype != np.float32 or flow.shape != (len(frames) - 1, 2, *frames.shape[1:]):
        raise ValueError(f"flow of frames {frames.shape} must be float32 (T-1, 2, H, W), not {flow.dtype} {flow.shape}")
    if boxes is not None and len(boxes) != len(frames):
        raise ValueError(f"boxes must be given for each of the {len(frames)} frames, not for {len(boxes)}")
