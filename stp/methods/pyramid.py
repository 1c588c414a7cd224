"""The segment-level temporal pyramid (paper section 3) and its baseline, TSN.

baseline   TSN: segments of a single sub-segment, no pyramid
T-level    a pyramid of T levels; K is raised, if necessary, to the 2^(T-1) parts of the last level (from 4 levels on)
"""

from dataclasses import dataclass

from stp.config import PYRAMID, Pyramid, RgbFrame, Sampling
from stp.errors import UserError
from stp.methods.network import network_method
from stp.models.pyramid import TemporalPyramidNetwork
from stp.sampling.segments import SegmentSampler
from stp.training.run import NetworkOptions, Run, run_backbone, single_modality


@dataclass(frozen=True)
class PyramidOptions(NetworkOptions):
    """The options of the network and of the segments (paper sections 3.1 and 4.2)."""

    segments: int = Pyramid.segments
    sampling: Sampling = Pyramid.sampling
    segment_length: int = Pyramid.segment_length
    subsegments: int = Pyramid.subsegments
    subsegment_length: int = Pyramid.subsegment_length
    rgb_frame: RgbFrame = "first"  # what runs were trained with whose settings do not have the key; see config.LATER


def parts(run: Run) -> tuple[int, ...]:
    """Number of parts of each level, 1, 2, 4, ...; UserError if the method is not a pyramid."""
    match = PYRAMID.fullmatch(run.name.method)
    if not match:
        raise UserError(f"variant '{run.name.method}' is unknown; allowed are baseline, 1-level, 2-level, 3-level, ...")
    return tuple(2**level for level in range(int(match["levels"] or 1)))


def sampler(run: Run) -> SegmentSampler:
    """The sampler of the run's segments: it takes one frame, or all flow fields, of each sub-segment.

    Raises:
        UserError: the sub-segments cannot be divided evenly into the parts of the last level.
    """
    options: PyramidOptions = run.options
    length = options.subsegment_length
    stack = length if single_modality(run).is_flow else 1
    if run.name.method == "baseline":
        return SegmentSampler(options.segments, length, 1, length, stack, options.sampling, options.rgb_frame)
    most = parts(run)[-1]
    subsegments = max(options.subsegments, most)
    if subsegments % most:
        raise UserError(
            f"pyramid.subsegments {subsegments} cannot be divided into the {most} parts of variant {run.name.method}; "
            "use a multiple of this number, or fewer levels"
        )
    return SegmentSampler(
        options.segments, options.segment_length, subsegments, length, stack, options.sampling, options.rgb_frame
    )


def build(run: Run, weights: str | None = None) -> TemporalPyramidNetwork:
    """The run's network; `weights` replaces the initial weights of its options."""
    modality = single_modality(run)
    backbone = run_backbone(run.options, modality, sampler(run).stack, weights)
    return TemporalPyramidNetwork(backbone, parts(run), len(run.classes), run.options.stream(run.name.input).dropout)


METHOD = network_method(PyramidOptions, build, sampler)
