"""Key points of one frame with their descriptors, and its corners."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stp.errors import UserError
from stp.warped.parameters import WarpedFlowParameters

DETECTORS = ("orb", "sift")
DESCRIPTOR_PATCH = 31  # pixels, of ORB
SMALLEST_LEVEL = 48  # pixels; ORB's patches say little about a smaller pyramid level
MOST_LEVELS = 4  # a factor of 1.7: neighbouring frames hardly differ in scale, and coarser points lie less precisely
SMALLEST_FRAME = 16  # pixels; smaller frames have no key points


@dataclass(frozen=True)
class KeyPoints:
    """Key points of one frame."""

    points: np.ndarray  # (n, 2) float32, x and y in pixels
    descriptors: np.ndarray  # (n, 32) uint8 of ORB or (n, 128) float32 of SIFT


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

    ORB by default ignores 31 pixels along the border, which would leave little of small frames: there the border and
    the number of pyramid levels are smaller. Several threads may call this at the same time.

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
        orb = cv2.ORB.create(count, nlevels=min(levels, MOST_LEVELS), edgeThreshold=min(DESCRIPTOR_PATCH, side // 8))
        found, descriptors = orb.detectAndCompute(frame, mask)
    if descriptors is None:
        descriptors = np.empty((0, 128), np.float32) if detector == "sift" else np.empty((0, 32), np.uint8)
    return KeyPoints(np.asarray(cv2.KeyPoint.convert(found), np.float32).reshape(-1, 2), descriptors)


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
