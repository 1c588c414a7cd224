"""The camera's motion between two frames, and the second frame without it."""

from dataclasses import dataclass

import numpy as np

from stp.warped.homography import fit_homography
from stp.warped.keypoints import KeyPoints, displace_corners
from stp.warped.matching import match_keypoints
from stp.warped.parameters import WarpedFlowParameters
from stp.warped.warping import warp_following


@dataclass(frozen=True)
class HomographyEstimate:
    """The camera's motion between two frames."""

    matrix: np.ndarray  # (3, 3) float64, from pixels of the first frame to pixels of the second
    inliers: int
    matches: int
    identity: bool  # too few matches or inliers: nothing is known of the camera


@dataclass(frozen=True)
class Alignment:
    """A pair's second frame seen from where the first was."""

    estimate: HomographyEstimate
    frame: np.ndarray  # uint8 (H, W); the second frame itself where nothing is known of the camera


def estimate_homography(
    previous: np.ndarray,
    following: np.ndarray,
    flow: np.ndarray,
    keypoints_previous: KeyPoints,
    keypoints_following: KeyPoints,
    parameters: WarpedFlowParameters | None = None,
    mask: np.ndarray | None = None,
) -> HomographyEstimate:
    """The camera's motion from matched key points and corners displaced by the flow, by RANSAC.

    Args:
        previous: uint8 (H, W) grey frame.
        following: uint8 (H, W), the frame after it.
        flow: float32 (2, H, W) pixels/frame between them.
        keypoints_previous: key points of `previous`.
        keypoints_following: key points of `following`, by the same detector.
        parameters: thresholds, those of improved trajectories by default.
        mask: uint8 (H, W), zero where `previous` shows people; corners there are left out.

    Returns:
        The homography, or the identity and a mark where matches or inliers are too few.

    Raises:
        ValueError: frames and flow are of different sizes.
    """
    p = parameters or WarpedFlowParameters()
    if previous.shape != following.shape or flow.shape != (2, *previous.shape):
        raise ValueError(f"frames {previous.shape}, {following.shape} and flow {flow.shape} must be of one size")
    matches = match_keypoints(keypoints_previous, keypoints_following, p.match_window)
    corners = displace_corners(previous, flow, p, mask)
    source, target = (np.concatenate(pair) for pair in zip(matches, corners, strict=True))
    inliers = 0
    if len(source) > p.least_matches:
        matrix, inliers = fit_homography(source, target, p.reprojection_error)
        if inliers > p.least_inliers:
            return HomographyEstimate(matrix, inliers, len(source), identity=False)
    return HomographyEstimate(np.eye(3), inliers, len(source), identity=True)


def align(
    previous: np.ndarray,
    following: np.ndarray,
    flow: np.ndarray,
    keypoints_previous: KeyPoints,
    keypoints_following: KeyPoints,
    parameters: WarpedFlowParameters | None = None,
    mask: np.ndarray | None = None,
) -> Alignment:
    """`estimate_homography`, then `warp_following` by its result; threads may call this, it hardly holds the GIL."""
    p = parameters or WarpedFlowParameters()
    estimate = estimate_homography(previous, following, flow, keypoints_previous, keypoints_following, p, mask)
    if estimate.identity:
        return Alignment(estimate, following)
    return Alignment(estimate, warp_following(previous, following, estimate.matrix, p.border))
