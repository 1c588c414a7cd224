"""Improved trajectories: points followed through a video with the camera's motion cancelled, and what is around them.

Wang and Schmid, "Action recognition with improved trajectories" (ICCV 2013).
"""

from stp.trajectories.engine import COLUMNS, SIZES, Trajectories, trajectories
from stp.trajectories.flows import FarnebackFlow, FlowOfPair, given_flow
from stp.trajectories.layers import layer_sizes
from stp.trajectories.parameters import LENGTH, TrajectoryParameters

__all__ = [
    "COLUMNS",
    "LENGTH",
    "SIZES",
    "FarnebackFlow",
    "FlowOfPair",
    "Trajectories",
    "TrajectoryParameters",
    "given_flow",
    "layer_sizes",
    "trajectories",
]
