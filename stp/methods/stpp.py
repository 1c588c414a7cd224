"""STPP Net (Cheng, Lv and Su, ICIP 2018): a 3D network whose last map is pooled over a spatio-temporal pyramid."""

from dataclasses import dataclass

from stp.config import PUBLISHED, check_range
from stp.errors import UserError
from stp.methods.network import network_method
from stp.methods.video_network import VideoNetworkOptions, sampler
from stp.models.pyramid import TemporalPyramidNetwork
from stp.models.spatio_temporal_pyramid import Pooling, SpatioTemporalPyramid
from stp.training.run import Run, run_video_backbone, single_modality

OWN = PUBLISHED["stpp"]


@dataclass(frozen=True)
class StppOptions(VideoNetworkOptions):
    """The options of a video network, the divisions of each axis in the levels of the pyramid, and what a bin takes."""

    backbone: str = OWN["backbone"]
    weights: str = OWN["weights"]
    width: float = OWN["width"]
    input_size: int = OWN["input_size"]
    levels: tuple[int, ...] = (1, 2, 4)
    pooling: Pooling = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels:
            raise UserError("config: option levels: names no level; give the parts of each, such as [1, 2, 4]")
        check_range("levels", self.levels, 1, 10)


def build(run: Run, weights: str | None = None) -> TemporalPyramidNetwork:
    """The pyramid of bins with dropout and one linear classifier; `weights` replaces the options' initial weights."""
    options: StppOptions = run.options
    backbone = run_video_backbone(options, single_modality(run), options.frames, weights)
    bins = SpatioTemporalPyramid(backbone, options.levels, options.pooling)
    return TemporalPyramidNetwork(bins, (1,), len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(StppOptions, build, sampler)
