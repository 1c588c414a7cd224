"""Two-stream networks (Simonyan and Zisserman, NIPS 2014): one frame, or one stack of 10 flow fields, fused late.

A training sample is one frame, or one stack, at a random place in the clip. A test clip is scored at evenly spread
places and in fixed crops, and the scores are averaged. The backbone is the configured one, not the publication's CNN-M.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from stp.config import check_range
from stp.methods.network import network_method
from stp.models.pyramid import TemporalPyramidNetwork
from stp.models.stacks import subtract_mean_flow
from stp.sampling.segments import SegmentSampler
from stp.training.run import NetworkOptions, Run, fields_of_image, run_backbone, single_modality


@dataclass(frozen=True)
class TwoStreamOptions(NetworkOptions):
    """The network's options, and the number of flow fields in a stack (the publication's L)."""

    flow_fields: int = 10
    subtract_mean_flow: bool = True  # from each field, to compensate the camera's motion

    def __post_init__(self) -> None:
        check_range("flow_fields", [self.flow_fields], 1, 100)


class MeanFlowSubtracted(nn.Module):
    """A backbone behind a step that subtracts its mean vector from each flow field: (B, 2 L, H, W), 0..255 -> (B, D).

    The publication takes the mean over the whole field; here it is taken over the crop that the network sees.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.backbone(subtract_mean_flow(images))
        return features


def sampler(run: Run) -> SegmentSampler:
    """A sampler of single frames, or of single stacks of consecutive flow fields."""
    fields = fields_of_image(run)
    return SegmentSampler(segments=1, segment_length=fields, subsegments=1, subsegment_length=fields, stack=fields)


def build(run: Run, weights: str | None = None) -> TemporalPyramidNetwork:
    """The backbone with dropout and one linear classifier; `weights` replaces the initial weights of the options."""
    options: TwoStreamOptions = run.options
    modality = single_modality(run)
    backbone: nn.Module = run_backbone(options, modality, sampler(run).stack, weights)
    if modality.is_flow and options.subtract_mean_flow:
        backbone = MeanFlowSubtracted(backbone)
    return TemporalPyramidNetwork(backbone, (1,), len(run.classes), options.stream(run.name.input).dropout)


METHOD = network_method(TwoStreamOptions, build, sampler)
