"""Parameters of warped flow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WarpedFlowParameters:
    """Thresholds of improved trajectories; distances in pixels."""

    key_points: int = 1000  # strongest key points kept of a frame
    corners: int = 1000  # most corners of a frame that the flow displaces
    corner_quality: float = 0.001  # a corner's, relative to the best one's
    corner_distance: float = 3.0  # between corners
    match_window: float = 25.0  # longest displacement of a match in x and in y
    reprojection_error: float = 1.0  # of a RANSAC inlier
    least_matches: int = 50  # this many matches are not enough yet
    least_inliers: int = 25  # this many inliers are not enough yet
    border: int = 5  # samples nearer to the second frame's border are filled from the first
