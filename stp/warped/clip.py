"""Warped flow of pairs of frames, from their flow and their alignments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stp.warped.alignment import HomographyEstimate


@dataclass(frozen=True)
class WarpedFlow:
    """Warped flow of N pairs of frames, and the camera's motion that was taken out of it."""

    flow: np.ndarray  # (N, 2, H, W) float32, pixels/frame
    homographies: np.ndarray  # (N, 3, 3) float64, from pixels of the first frame to pixels of the second
    inliers: np.ndarray  # (N,) int32
    identity: np.ndarray  # (N,) bool: nothing is known of the camera, and the flow is as it was


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
