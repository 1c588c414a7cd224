"""R(2+1)D (Tran et al., CVPR 2018) on RGB or flow; the publication fuses their scores by .6 and .4."""

from dataclasses import dataclass

from stp.config import PUBLISHED
from stp.methods.network import network_method
from stp.methods.video_network import VideoNetworkOptions, build, check_backbone, sampler

OWN = PUBLISHED["r2plus1d"]


@dataclass(frozen=True)
class R2Plus1DOptions(VideoNetworkOptions):
    """The options of a video network, with the publication's values: 34 layers, 32 consecutive frames of 112x112."""

    backbone: str = OWN["backbone"]
    weights: str = OWN["weights"]
    width: float = OWN["width"]
    input_size: int = OWN["input_size"]
    frames: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_backbone(self, "r2plus1d_34", "r2plus1d_18")


METHOD = network_method(R2Plus1DOptions, build, sampler)
