"""Parameters of improved trajectories."""

import math
from dataclasses import dataclass

LENGTH = 15  # frames that a track is followed; it has one point more
TIME_CELLS = 3  # of a descriptor, LENGTH / 3 frames each


@dataclass(frozen=True)
class TrajectoryParameters:
    """Thresholds of improved trajectories, with the values of the authors' program.

    Lengths are in pixels of the frame, but for `stride`, `patch` and `min_flow`, which are in pixels of the layer.
    `min_motion` is ours: it multiplies the two thresholds that reject tracks for moving too little.

    Raises:
        ValueError: a parameter outside its range.
    """

    scales: int = 8  # most layers, each smaller than the one before by the square root of 2
    stride: int = 5  # from one point to the next when a layer is sampled
    patch: int = 32  # side of the square that is described; twice that of its cells
    min_motion: float = 1.0
    quality: float = 0.001  # of a point to begin at: its smaller eigenvalue relative to the layer's best one
    min_flow: float = 0.4  # up to here a pixel counts as still, in HOF's ninth bin
    epsilon: float = 0.05  # added to each bin before a descriptor is normalised
    min_deviation: float = math.sqrt(3)  # of x or of y along a track; below in both, the track is static
    max_deviation: float = 50.0
    max_step: float = 20.0  # a longer step ends a track if it is also ...
    max_step_share: float = 0.7  # ... more than this share of the track's length
    min_displacement: float = 1.0  # largest one without the camera's motion; up to here, only the camera moved

    def __post_init__(self) -> None:
        for name in ("scales", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.patch < 4 or self.patch % 2:
            raise ValueError(f"patch must be an even number of at least 4, not {self.patch}")
        if not self.min_motion >= 0:
            raise ValueError(f"min_motion must not be negative, but is {self.min_motion}")
