"""TPP Net (Wang, Cao, Shen, Liu and Shen, TCSVT 2017): temporal pyramid pooling over a whole video, two streams joined.

Each image is a frame with the flow around it. Appearance and motion have a backbone and an encoding layer each, which
maps its features to a vector that is suitable for pooling. Both vectors are joined, pooled and classified together.
The publication's abstract says no more; backbone, pooling, levels and sizes are our reading.
"""

from dataclasses import dataclass

from stp.config import check_range
from stp.methods.dtpp import DtppOptions
from stp.methods.joint import towers
from stp.methods.network import network_method
from stp.models.video_pyramid import JoinedEncodings, JoinedPyramidNetwork
from stp.sampling.frames import SparseSampler
from stp.training.run import Run, joint_modalities


@dataclass(frozen=True)
class TppOptions(DtppOptions):
    """The options of DTPP, and the width of the encoding layers."""

    encoding: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("encoding", [self.encoding], 1, 100_000)


def sampler(run: Run) -> SparseSampler:
    """A sampler of K frames of the whole video, each with the flow fields around it."""
    return SparseSampler(run.options.images, (1, run.options.flow_fields))


def build(run: Run, weights: str | None = None) -> JoinedPyramidNetwork:
    """The run's network; `weights` replaces the initial weights of its options."""
    options: TppOptions = run.options
    channels = [
        modality.channels * stack for modality, stack in zip(joint_modalities(run), sampler(run).stacks, strict=True)
    ]
    joined = JoinedEncodings(towers(run, options.flow_fields, weights), channels, options.encoding)
    return JoinedPyramidNetwork(joined, options.levels, len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(TppOptions, build, sampler, joint_modalities)
