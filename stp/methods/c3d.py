"""C3D (Tran et al., ICCV 2015), trained end to end; `c3d_svm` is the publication's linear SVM on its features."""

from dataclasses import dataclass
from typing import Literal

from stp.config import PUBLISHED
from stp.methods import video_network
from stp.methods.network import network_method
from stp.methods.video_network import VideoNetworkOptions, check_backbone, sampler
from stp.models.c3d import initialise_as_he
from stp.models.pyramid import TemporalPyramidNetwork
from stp.training.run import Run

OWN = PUBLISHED["c3d"]


@dataclass(frozen=True)
class C3DOptions(VideoNetworkOptions):
    """The options of a video network, with the publication's values: 16 consecutive frames of 112x112.

    `initial` says how weights begin that are not pre-trained: as published, or as He et al. (2015) propose.
    """

    backbone: str = OWN["backbone"]
    weights: str = OWN["weights"]
    width: float = OWN["width"]
    input_size: int = OWN["input_size"]
    initial: Literal["published", "he"] = "published"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_backbone(self, "c3d")


def build(run: Run, weights: str | None = None) -> TemporalPyramidNetwork:
    """The network with dropout and one linear classifier; `weights` replaces the options' initial weights."""
    options: C3DOptions = run.options
    network = video_network.build(run, weights)
    if options.initial == "he" and options.weights == "none":
        initialise_as_he(network.backbone.get_submodule("network"))
    return network


METHOD = network_method(C3DOptions, build, sampler)
