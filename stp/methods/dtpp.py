"""DTPP (Zhu, Zou and Zhu, ICPR 2018): temporal pyramid pooling over a whole video, trained end to end, one stream.

A training sample has one frame, or one stack of flow fields, in each of K even divisions of the video. Their features
are pooled by a pyramid of maxima and classified together.
"""

from dataclasses import dataclass

from stp.config import check_range
from stp.errors import UserError
from stp.methods.network import network_method
from stp.models.video_pyramid import VideoPyramidNetwork
from stp.sampling.frames import SparseSampler
from stp.training.run import NetworkOptions, Run, fields_of_image, run_backbone, single_modality


@dataclass(frozen=True)
class DtppOptions(NetworkOptions):
    """The network's options, the number of images of a video, fields in a flow image, and parts of each level."""

    images: int = 25
    flow_fields: int = 5
    levels: tuple[int, ...] = (1, 2, 4)

    def __post_init__(self) -> None:
        check_range("images", [self.images], 1, 1000)
        check_range("flow_fields", [self.flow_fields], 1, 100)
        check_levels(self.levels, self.images)


def check_levels(levels: tuple[int, ...], images: int) -> None:
    """Raise a UserError unless there are levels, and the images can be divided into the parts of each."""
    check_range("levels", levels, 1, 1000)
    if not levels:
        raise UserError("config: option levels: names no level; give the parts of each, such as [1, 2, 4]")
    if max(levels) > images:
        raise UserError(
            f"config: option levels: {max(levels)} parts of {images} images; give as many images, or fewer parts"
        )


def sampler(run: Run) -> SparseSampler:
    """A sampler of K frames, or stacks of flow fields, of the whole video."""
    return SparseSampler(run.options.images, (fields_of_image(run),))


def build(run: Run, weights: str | None = None) -> VideoPyramidNetwork:
    """The run's network; `weights` replaces the initial weights of its options."""
    options: DtppOptions = run.options
    backbone = run_backbone(options, single_modality(run), sampler(run).stack, weights)
    return VideoPyramidNetwork(backbone, options.levels, len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(DtppOptions, build, sampler)
