"""Spatiotemporal multiplier network (Feichtenhofer, Pinz and Wildes, CVPR 2017): motion gates appearance in ResNets.

A sample is 5 frames, 5 to 35 frames apart, each with the flow around it. Where the publication's towers are fine-tuned
on the data set before, those here start from the configured weights and learn together (our reading).
"""

from dataclasses import dataclass

from stp.config import PUBLISHED
from stp.methods.joint import StridedOptions, sampler, towers
from stp.methods.network import network_method
from stp.models.multiplier import MultiplierBackbone, MultiplierNetwork
from stp.models.stacks import Layout
from stp.training.run import Run, joint_modalities


@dataclass(frozen=True)
class MultiplierOptions(StridedOptions):
    """The options of samples and network, with the publication's backbone."""

    backbone: str = PUBLISHED["multiplier_net"]["backbone"]
    most_distance: int = 35
    subtract_mean_flow: bool = True  # from each field, to compensate the camera's motion


def build(run: Run, weights: str | None = None) -> MultiplierNetwork:
    """The two towers with their gates; `weights` replaces the towers' initial weights of the options."""
    options: MultiplierOptions = run.options
    layout = Layout(options.frames, options.flow_fields)
    made = towers(run, options.flow_fields, weights)
    backbone = MultiplierBackbone(made, layout, options.subtract_mean_flow)
    return MultiplierNetwork(backbone, len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(MultiplierOptions, build, sampler, joint_modalities)
