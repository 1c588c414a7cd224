"""Warped flow: optical flow after the camera's motion is cancelled, as in improved trajectories.

Wang and Schmid, "Action recognition with improved trajectories" (ICCV 2013), section 3.1: matched key points and
corners displaced by the flow vote for a homography between two frames; the second frame is warped by it and the flow
computed again. SIFT or ORB stands in for SURF, which is in no OpenCV wheel.
"""

from stp.warped.alignment import Alignment, HomographyEstimate, align, estimate_homography
from stp.warped.clip import WarpedFlow, flow_to_aligned
from stp.warped.keypoints import DETECTORS, KeyPoints, background_mask, detect_keypoints, displace_corners
from stp.warped.matching import match_keypoints
from stp.warped.parameters import WarpedFlowParameters
from stp.warped.warping import warp_following

__all__ = [
    "DETECTORS",
    "Alignment",
    "HomographyEstimate",
    "KeyPoints",
    "WarpedFlow",
    "WarpedFlowParameters",
    "align",
    "background_mask",
    "detect_keypoints",
    "displace_corners",
    "estimate_homography",
    "flow_to_aligned",
    "match_keypoints",
    "warp_following",
]
