"""Two-stream fusion (Feichtenhofer, Pinz and Zisserman, CVPR 2016) of RGB and flow after the last convolutions.

A sample is 5 frames, 5 to 15 frames apart, each with the flow around it. The publication's towers are VGG-16 networks
that were fine-tuned on the data set before. Here the backbone is the configured one, and its towers learn beside the
fusion, each by a loss of its own (our reading); with `tower_losses: false` they stay as their weights are.
"""

from dataclasses import dataclass

from stp.methods.joint import StridedOptions, sampler, towers
from stp.methods.network import network_method
from stp.models.fusion import FusionBackbone, TwoStreamFusion
from stp.models.maps import split
from stp.models.stacks import Layout
from stp.training.run import Run, joint_modalities


@dataclass(frozen=True)
class FusionOptions(StridedOptions):
    """The options of samples and network, and whether the towers learn."""

    tower_losses: bool = True


def build(run: Run, weights: str | None = None) -> TwoStreamFusion:
    """The two towers and their fusion; `weights` replaces the towers' initial weights of the options."""
    options: FusionOptions = run.options
    layout = Layout(options.frames, options.flow_fields)
    made = towers(run, options.flow_fields, weights)
    appearance, motion = (
        split(tower, channels, options.input_size) for tower, channels in zip(made, layout.channels, strict=True)
    )
    backbone = FusionBackbone(appearance, motion, layout, options.tower_losses)
    return TwoStreamFusion(backbone, len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(FusionOptions, build, sampler, joint_modalities)
