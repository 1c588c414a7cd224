"""The temporal pyramid without alignment (not in the paper): it finds the phase of an action itself.

aligned-T-level   the pyramid of T-level at each of m + 1 offsets in a segment that is m sub-segments longer, and a
                  smooth maximum of the offsets' scores
"""

from dataclasses import dataclass

from stp.config import Aligned, PhasePrior, check_range
from stp.methods import pyramid
from stp.methods.network import network_method
from stp.models.aligned import AlignedPyramidNetwork, Phase
from stp.sampling.segments import SlidingSampler
from stp.training.run import Run, run_backbone, single_modality


@dataclass(frozen=True)
class AlignedOptions(pyramid.PyramidOptions):
    """The options of a pyramid, and those of its phase; `segments` are the long ones."""

    segments: int = Aligned.segments
    extra_subsegments: int = Aligned.extra_subsegments
    temperature: float = Aligned.temperature
    phase_prior: PhasePrior = Aligned.phase_prior

    def __post_init__(self) -> None:
        check_range("extra_subsegments", [self.extra_subsegments], 0, 1000)
        check_range("temperature", [self.temperature], 1e-3, 1e3)


def sampler(run: Run) -> SlidingSampler:
    """The sampler of segments that are `extra_subsegments` longer than the pyramid's, at the same distances.

    Raises:
        UserError: the sub-segments cannot be divided evenly into the parts of the last level.
    """
    short = pyramid.sampler(run)
    extra, gaps = run.options.extra_subsegments, short.subsegments - 1
    room = short.segment_length - short.subsegment_length
    distance = room / gaps if gaps else short.subsegment_length
    longer = {
        "segment_length": short.segment_length + round(distance * extra),
        "subsegments": short.subsegments + extra,
    }
    return SlidingSampler(**vars(short) | longer, pyramid_length=short.segment_length)


def build(run: Run, weights: str | None = None) -> AlignedPyramidNetwork:
    """The run's network; `weights` replaces the initial weights of its options."""
    options: AlignedOptions = run.options
    modality, short = single_modality(run), pyramid.sampler(run)
    backbone = run_backbone(options, modality, short.stack, weights)
    learned = options.phase_prior == "learned"
    phase = Phase(short.subsegments, options.extra_subsegments, options.temperature, learned)
    dropout = options.stream(run.name.input).dropout
    return AlignedPyramidNetwork(backbone, pyramid.parts(run), len(run.classes), dropout, phase)


METHOD = network_method(AlignedOptions, build, sampler)
