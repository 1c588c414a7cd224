"""Improved trajectories: points followed through a video with the camera's motion cancelled, and what is around them.

Wang and Schmid, "Action recognition with improved trajectories" (ICCV 2013).
"""

from stp.trajectories.engine import COLUMNS, SIZES, Trajectories, concatenate, trajectories
from stp.trajectories.flows import FarnebackFlow, FlowOfPair, given_flow
from stp.trajectories.layers import layer_sizes
from stp.trajectories.parameters import TrajectoryParameters

__all__ = [
    "COLUMNS",
    "SIZES",
    "FarnebackFlow",
    "FlowOfPair",
    "Trajectories",
    "TrajectoryParameters",
    "concatenate",
    "given_flow",
    "layer_sizes",
    "trajectories",
]
