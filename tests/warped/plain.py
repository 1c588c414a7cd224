"""The plain statement of warped flow, beside which what the pipeline computes in batches and threads is tested."""

from collections.abc import Sequence

import numpy as np

from stp.flow import tvl1
from stp.warped import WarpedFlow, align, background_mask, detect_keypoints


def warped_flow(
    frames: np.ndarray, flow: np.ndarray, detector: str = "orb", boxes: Sequence[np.ndarray] | None = None
) -> WarpedFlow:
    """Warped flow of a clip (T, H, W) with its flow (T-1, 2, H, W), pair by pair."""
    masks = [None if boxes is None else background_mask(frame.shape, boxes[t]) for t, frame in enumerate(frames)]
    keypoints = [detect_keypoints(frame, detector, mask) for frame, mask in zip(frames, masks, strict=True)]
    fields, homographies, inliers, identity = [], [], [], []
    for t in range(len(frames) - 1):
        alignment = align(frames[t], frames[t + 1], flow[t], keypoints[t], keypoints[t + 1], mask=masks[t])
        estimate = alignment.estimate
        again = tvl1(frames[t : t + 1], alignment.frame[None], threads=1)[0]
        fields.append(flow[t] if estimate.identity else again)
        homographies.append(estimate.matrix)
        inliers.append(estimate.inliers)
        identity.append(estimate.identity)
    return WarpedFlow(np.array(fields), np.array(homographies), np.array(inliers, np.int32), np.array(identity))
