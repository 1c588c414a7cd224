"""Temporal attentive network, TAN (Shi et al., ICME 2018), in our reading: attention over the postures of a video.

A posture is a frame and the flow around it; K of them are spread over the video, as in TSN. The publication names two
streams that share layers, and an LSTM that gives attention. Its backbone, the number of postures, the shared layers and
the form of the attention are ours, as is the loss that each stream has besides.
"""

from dataclasses import dataclass

from stp.config import check_range
from stp.methods.joint import towers
from stp.methods.network import network_method
from stp.models.attention import PostureBackbone, TemporalAttentiveNetwork
from stp.sampling.frames import SparseSampler
from stp.training.run import NetworkOptions, Run, joint_modalities


@dataclass(frozen=True)
class TanOptions(NetworkOptions):
    """The network's options; the number of postures and of flow fields in each; widths of shared layer and LSTM."""

    postures: int = 8
    flow_fields: int = 5
    shared_width: int = 512
    lstm_width: int = 512

    def __post_init__(self) -> None:
        check_range("postures", [self.postures], 1, 1000)
        check_range("flow_fields", [self.flow_fields], 1, 100)
        check_range("shared_width", [self.shared_width], 1, 100_000)
        check_range("lstm_width", [self.lstm_width], 1, 100_000)


def sampler(run: Run) -> SparseSampler:
    """A sampler of K postures, one in each even division of the video."""
    options: TanOptions = run.options
    return SparseSampler(options.postures, (1, options.flow_fields))


def build(run: Run, weights: str | None = None) -> TemporalAttentiveNetwork:
    """The two towers with their attention; `weights` replaces the towers' initial weights of the options."""
    options: TanOptions = run.options
    appearance, motion = towers(run, options.flow_fields, weights)
    return TemporalAttentiveNetwork(
        PostureBackbone(appearance, motion, options.flow_fields),
        len(run.classes),
        options.stream(run.name.input).dropout,
        options.shared_width,
        options.lstm_width,
    )


METHOD = network_method(TanOptions, build, sampler, joint_modalities)
