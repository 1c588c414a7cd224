"""Video networks on one clip of consecutive frames: torchvision's, by name, and those of `c3d` and `r2plus1d`.

A training sample is a clip of T frames at a random place in the video. A test video is scored in clips that are spread
evenly over it, and the scores are averaged. The schedule is that of the config, not the publications'.
"""

from dataclasses import dataclass

from stp.config import PUBLISHED, check_range
from stp.errors import UserError
from stp.methods.network import network_method
from stp.models.pyramid import TemporalPyramidNetwork
from stp.sampling.frames import StridedSampler
from stp.training.run import NetworkOptions, Run, run_video_backbone, single_modality

OWN = PUBLISHED["video_network"]


@dataclass(frozen=True)
class VideoNetworkOptions(NetworkOptions):
    """The network's options, the number of frames that it sees at once, and their distance in stored fields."""

    backbone: str = OWN["backbone"]
    weights: str = OWN["weights"]
    width: float = OWN["width"]
    input_size: int = OWN["input_size"]
    frames: int = 16
    frame_distance: int = 1

    def __post_init__(self) -> None:
        check_range("frames", [self.frames], 1, 1000)
        check_range("frame_distance", [self.frame_distance], 1, 1000)


def check_backbone(options: VideoNetworkOptions, *allowed: str) -> None:
    """Raise a UserError for a backbone that the method does not have."""
    if options.backbone not in allowed:
        raise UserError(
            f"config: option backbone: '{options.backbone}' is not allowed; allowed: {', '.join(allowed)}; the method "
            "video_network takes others"
        )


def sampler(run: Run) -> StridedSampler:
    """A sampler of clips of `frames` frames at a fixed distance, each clip one image."""
    single_modality(run)
    distance = run.options.frame_distance
    return StridedSampler(run.options.frames, (1,), together=True, least=distance, most=distance)


def build(run: Run, weights: str | None = None) -> TemporalPyramidNetwork:
    """The video network with dropout and one linear classifier; `weights` replaces the options' initial weights."""
    options: VideoNetworkOptions = run.options
    backbone = run_video_backbone(options, single_modality(run), options.frames, weights)
    return TemporalPyramidNetwork(backbone, (1,), len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(VideoNetworkOptions, build, sampler)
