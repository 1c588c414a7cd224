"""The family of networks with two towers, one that sees RGB frames and one that sees the flow around them."""

from dataclasses import dataclass

from stp.config import check_range
from stp.errors import UserError
from stp.models.backbones import Backbone
from stp.sampling.frames import StridedSampler
from stp.training.run import NetworkOptions, Run, joint_modalities, run_backbone


@dataclass(frozen=True)
class StridedOptions(NetworkOptions):
    """The network's options, and those of a sample: T `frames` at a distance that is drawn, with flow around each.

    The distance is between `least_distance` and `most_distance` frames. Around every frame lie `flow_fields` (L).
    """

    frames: int = 5
    least_distance: int = 5
    most_distance: int = 15
    flow_fields: int = 10

    def __post_init__(self) -> None:
        check_range("frames", [self.frames], 1, 100)
        check_range("flow_fields", [self.flow_fields], 1, 100)
        check_range("least_distance", [self.least_distance], 1, 1000)
        check_range("most_distance", [self.most_distance], 1, 1000)
        if self.least_distance > self.most_distance:
            raise UserError(
                f"config: option least_distance: {self.least_distance} is more than most_distance "
                f"{self.most_distance}; lower it, or raise the other"
            )


def sampler(run: Run) -> StridedSampler:
    """A sampler of images that are T frames and their flow, for networks that see time."""
    options: StridedOptions = run.options
    stacks = (1, options.flow_fields)
    return StridedSampler(
        options.frames, stacks, together=True, least=options.least_distance, most=options.most_distance
    )


def towers(run: Run, flow_fields: int, weights: str | None = None) -> tuple[Backbone, Backbone]:
    """The run's backbone for RGB frames, and that for stacks of flow; `weights` replaces the options' initial weights.

    With partial batch norm, the first norm of each tower learns.
    """
    rgb, flow = joint_modalities(run)
    return run_backbone(run.options, rgb, 1, weights), run_backbone(run.options, flow, flow_fields, weights)
