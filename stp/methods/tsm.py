"""TSM (Lin, Gan and Han, ICCV 2019): a ResNet whose frames exchange channels with the frames beside them, one stream.

A training sample has one frame, or one stack of flow fields, in each of T even divisions of the video.
"""

from dataclasses import dataclass

from stp.config import PUBLISHED, check_range
from stp.methods.network import network_method
from stp.models.temporal_shift import ShiftedFrames, TemporalShiftNetwork
from stp.sampling.frames import SparseSampler
from stp.training.run import NetworkOptions, Run, fields_of_image, run_backbone, single_modality


@dataclass(frozen=True)
class TsmOptions(NetworkOptions):
    """The network's options, the number of frames, fields in a flow image, and the share 1 / shift_div of channels.

    That share is taken from the frame before, and as many channels from the next.
    """

    backbone: str = PUBLISHED["tsm"]["backbone"]
    frames: int = 8
    flow_fields: int = 5
    shift_div: int = 8

    def __post_init__(self) -> None:
        check_range("frames", [self.frames], 2, 1000)
        check_range("flow_fields", [self.flow_fields], 1, 100)
        check_range("shift_div", [self.shift_div], 2, 1000)


def sampler(run: Run) -> SparseSampler:
    """A sampler of T frames, or stacks of flow fields, of the whole video, which make up one image."""
    return SparseSampler(run.options.frames, (fields_of_image(run),), together=True)


def build(run: Run, weights: str | None = None) -> TemporalShiftNetwork:
    """The run's network; `weights` replaces the initial weights of its options.

    Raises:
        UserError: the backbone is neither a ResNet of torchvision nor `convnet`, or as `run_backbone` raises.
    """
    options: TsmOptions = run.options
    modality, (fields,) = single_modality(run), sampler(run).stacks
    backbone = run_backbone(options, modality, fields, weights)
    shifted = ShiftedFrames(backbone, options.backbone, modality.channels * fields, options.frames, options.shift_div)
    return TemporalShiftNetwork(shifted, len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(TsmOptions, build, sampler)
