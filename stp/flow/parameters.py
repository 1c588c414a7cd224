"""Parameters of TV-L1 optical flow."""

from dataclasses import dataclass

SEMANTICS = ("opencv-cpu", "opencv-cuda")


@dataclass(frozen=True)
class TVL1Parameters:
    """Parameters of Zach, Pock and Bischof's TV-L1 flow, with OpenCV's names and defaults; grey values are 0..255.

    `semantics` names which of OpenCV's two implementations is followed. "opencv-cuda", which published flow networks
    were trained on, has no median filter, one loop of `inner` x `outer` iterations a warp with a stop test that is
    skipped most of the time, a cubic warp with a = -0.5 and edge pixels repeated outside, and resizes without the
    half-pixel shift.

    Raises:
        ValueError: a parameter outside its range.
    """

    tau: float = 0.25  # time step of the dual ascent
    lambda_: float = 0.15  # weight of the data term: smaller is smoother
    theta: float = 0.3  # tightness of the coupling between data term and smoothness
    nscales: int = 5  # pyramid levels; fewer where a level would be under 16 pixels
    warps: int = 5  # linearisations a level
    epsilon: float = 0.01  # root mean square update, in pixels, at which a warp's iterations stop
    inner: int = 30  # iterations between two median filters
    outer: int = 10  # median filters a warp
    scale_step: float = 0.8  # size of a level relative to the one below
    median_filter: int = 5  # side of the median filter on the flow; 1 is none, as always with "opencv-cuda"
    semantics: str = "opencv-cpu"

    def __post_init__(self) -> None:
        for name in ("tau", "lambda_", "theta", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("nscales", "warps", "inner", "outer"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.scale_step < 1:
            raise ValueError(f"scale_step must lie between 0 and 1, not {self.scale_step}")
        if self.median_filter not in (1, 5):
            raise ValueError(f"median_filter must be 1 (none) or 5, not {self.median_filter}")
        if self.semantics not in SEMANTICS:
            raise ValueError(f"semantics must be one of {', '.join(SEMANTICS)}, not {self.semantics!r}")
