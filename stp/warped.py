"""Warped flow: optical flow after the camera's motion is cancelled, by the recipe of improved trajectories.

Wang and Schmid, "Action recognition with improved trajectories" (ICCV 2013), section 3.1: matched key points and
corners displaced by the flow vote for a homography between two frames; the second frame is warped by it and the flow
computed again. SIFT or ORB stands in for SURF, which is in no OpenCV wheel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stp.errors import UserError
from stp.flow import TVL1Parameters, tvl1
from stp.flow.opencv_engines import opencv_threads

DETECTORS = ("orb", "sift")
DESCRIPTOR_PATCH = 31  # pixels, of ORB
SMALLEST_LEVEL = 48  # pixels; ORB's patches say little about a smaller pyramid level
SMALLEST_FRAME = 16  # pixels; smaller frames have no key points


@dataclass(frozen=True)
class WarpedFlowParameters:
    """Thresholds of improved trajectories; distances in pixels."""

    key_points: int = 1000  # strongest key points kept of a frame
    corners: int = 1000  # corners to be displaced by the flow
    corner_quality: float = 0.001  # of a corner relative to the best one
    corner_distance: float = 3.0  # between corners
    match_window: float = 25.0  # longest displacement of a match in x and in y
    reprojection_error: float = 1.0  # of a RANSAC inlier
    least_matches: int = 50  # more than so many matches are needed
    least_inliers: int = 25  # more than so many inliers are needed
    border: int = 5  # samples nearer to the second frame's border are filled from the first


@dataclass(frozen=True)
class KeyPoints:
    """Key points of one frame."""

    points: np.ndarray  # (n, 2) float32, x and y in pixels
    descriptors: np.ndarray  # (n, 32) uint8 of ORB or (n, 128) float32 of SIFT


@dataclass(frozen=True)
class HomographyEstimate:
    """The camera's motion between two frames."""

    matrix: np.ndarray  # (3, 3) float64, from pixels of the first frame to pixels of the second
    inliers: int
    matches: int
    identity: bool  # too few matches or inliers: nothing is known of the camera


@dataclass(frozen=True)
class WarpedFlow:
    """Warped flow of T frames and the camera's motion that it is free of."""

    flow: np.ndarray  # (T-1, 2, H, W) float32, pixels/frame
    homographies: np.ndarray  # (T-1, 3, 3) float64
    inliers: np.ndarray  # (T-1,) int32
    identity: np.ndarray  # (T-1,) bool


def background_mask(shape: tuple[int, int], boxes: np.ndarray) -> np.ndarray:
    """uint8 (H, W), 255 outside all person boxes (n, 4) of x0, y0, x1, y1 in pixels and 0 inside."""
    mask = np.full(shape, 255, np.uint8)
    for x0, y0, x1, y1 in np.clip(np.rint(boxes), 0, None).astype(int):
        mask[y0:y1, x0:x1] = 0
    return mask


def detect_keypoints(
    frame: np.ndarray,
    detector: str = "orb",
    mask: np.ndarray | None = None,
    parameters: WarpedFlowParameters | None = None,
) -> KeyPoints:
    """Key points and descriptors of a grey frame uint8 (H, W), where `mask` uint8 (H, W) is not zero.

    ORB by default ignores 31 pixels along the border and uses eight pyramid levels; both shrink with frames under 256
    pixels, of which little would be left.

    Raises:
        UserError: the detector is unknown.
    """
    if detector not in DETECTORS:
        raise UserError(f"detector: {detector!r} is unknown; choose one of: {', '.join(DETECTORS)}")
    count, side = (parameters or WarpedFlowParameters()).key_points, min(frame.shape)
    found: Sequence[cv2.KeyPoint] = ()
    descriptors = None
    if side >= SMALLEST_FRAME and detector == "sift":
        found, descriptors = cv2.SIFT.create(nfeatures=count, contrastThreshold=0.02).detectAndCompute(frame, mask)
    elif side >= SMALLEST_FRAME:
        levels = 1 + int(np.log(max(side / SMALLEST_LEVEL, 1)) / np.log(1.2))
        orb = cv2.ORB.create(count, nlevels=min(levels, 8), edgeThreshold=min(DESCRIPTOR_PATCH, side // 8))
        found, descriptors = orb.detectAndCompute(frame, mask)
    if descriptors is None:
        descriptors = np.empty((0, 128), np.float32) if detector == "sift" else np.empty((0, 32), np.uint8)
    points = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    return KeyPoints(points, descriptors)


def match_keypoints(previous: KeyPoints, following: KeyPoints, window: float) -> tuple[np.ndarray, np.ndarray]:
    """The previous frame's most alike key point within `window` pixels in x and y for each of the following frame's.

    Alike by L2 distance for SIFT, by Hamming distance for ORB. Returns points (m, 2) float32 in the previous and in the
    following frame.
    """
    near_x, near_y = (
        np.abs(np.subtract.outer(following.points[:, axis], previous.points[:, axis])) <= window for axis in (0, 1)
    )
    new, old = np.nonzero(near_x & near_y)
    if following.descriptors.dtype == np.uint8:
        a, b = (keypoints.descriptors.view(np.uint64) for keypoints in (following, previous))
        distances = np.bitwise_count(a[new] ^ b[old]).sum(axis=1, dtype=np.int32)
    else:
        difference = following.descriptors[new] - previous.descriptors[old]
        distances = np.einsum("md,md->m", difference, difference)
    starts = np.flatnonzero(np.diff(new, prepend=-1))  # `new` ascends: one run for each key point with candidates
    least = np.repeat(np.minimum.reduceat(distances, starts), np.diff(starts, append=len(new)))
    alike = np.flatnonzero(distances == least)
    matched, first = np.unique(new[alike], return_index=True)  # of equals the first
    return previous.points[old[alike[first]]], following.points[matched]


def displace_corners(
    frame: np.ndarray, flow: np.ndarray, parameters: WarpedFlowParameters, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a frame uint8 (H, W) and where its flow (2, H, W) takes them, both (m, 2) float32."""
    corners = cv2.goodFeaturesToTrack(
        frame, parameters.corners, parameters.corner_quality, parameters.corner_distance, mask=mask
    )
    points = np.empty((0, 2), np.float32) if corners is None else corners.reshape(-1, 2)
    x, y = np.rint(points).astype(int).T
    return points, points + flow[:, y, x].T


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
        mask: uint8 (H, W), zero where `previous` shows people, whose corners are left out.

    Returns:
        The homography; the identity, marked so, with too few matches or inliers. OpenCV's RANSAC draws from a generator
        of fixed seed, so the result depends on the arguments alone.

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
        matrix, chosen = cv2.findHomography(source, target, cv2.RANSAC, p.reprojection_error)
        if matrix is not None:
            inliers = int(chosen.sum())
            if inliers > p.least_inliers:
                return HomographyEstimate(matrix, inliers, len(source), identity=False)
    return HomographyEstimate(np.eye(3), inliers, len(source), identity=True)


def warp_following(previous: np.ndarray, following: np.ndarray, homography: np.ndarray, border: int = 5) -> np.ndarray:
    """The following frame as the previous frame's camera would have seen it.

    Args:
        previous: uint8 (H, W).
        following: uint8 (H, W).
        homography: (3, 3), from pixels of `previous` to pixels of `following`.
        border: samples not more than so many pixels inside `following` are filled from `previous`: no flow there.

    Returns:
        uint8 (H, W), bilinear samples.
    """
    height, width = previous.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pixels = np.stack([x, y], axis=-1)
    source = cv2.perspectiveTransform(pixels, np.asarray(homography, np.float64))
    warped = cv2.remap(following, source[..., 0], source[..., 1], cv2.INTER_LINEAR)
    low, high = border, np.array([width, height], np.float32) - 1 - border
    inside = ((source > low) & (source < high)).all(axis=-1)
    return np.where(inside, warped, previous)


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
        detector: "orb", or "sift", which cancels a little more and costs about ten times as much.
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
    masks = [
        None if boxes is None else background_mask(frames_grey.shape[1:], boxes[t]) for t in range(len(frames_grey))
    ]
    with opencv_threads(threads or cv2.getNumThreads()):
        keypoints = [detect_keypoints(frame, detector, mask, p) for frame, mask in zip(frames_grey, masks, strict=True)]
        pairs = zip(frames_grey, frames_grey[1:], flow, keypoints, keypoints[1:], masks, strict=False)
        estimates = [estimate_homography(a, b, f, k, m, p, mask) for a, b, f, k, m, mask in pairs]
    identity = np.array([estimate.identity for estimate in estimates], bool)
    moving = np.flatnonzero(~identity)
    result = flow.copy()
    if len(moving):
        aligned = [warp_following(frames_grey[t], frames_grey[t + 1], estimates[t].matrix, p.border) for t in moving]
        result[moving] = tvl1(frames_grey[moving], np.stack(aligned), backend, threads, flow_parameters)
    return WarpedFlow(
        flow=result,
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
