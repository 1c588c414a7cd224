"""TRN (Zhou, Andonian, Oliva and Torralba, ECCV 2018): relations between 2, 3, ... frames of a video, one stream.

A training sample has one frame, or one stack of flow fields, in each of K even divisions of the video.
"""

from dataclasses import dataclass

from stp.config import check_range
from stp.methods.network import network_method
from stp.models.temporal_relations import TemporalRelationNetwork
from stp.sampling.frames import SparseSampler
from stp.training.run import NetworkOptions, Run, fields_of_image, run_backbone, single_modality


@dataclass(frozen=True)
class TrnOptions(NetworkOptions):
    """The network's options, and those of the relations.

    images        images of a video
    flow_fields   fields in an image of flow
    reduced       features of an image that relations see
    subsample     most relations of each number of images that are summed
    """

    images: int = 8
    flow_fields: int = 5
    reduced: int = 256
    subsample: int = 3

    def __post_init__(self) -> None:
        check_range("images", [self.images], 2, 16)  # 16 images have 12,870 relations of 8
        check_range("flow_fields", [self.flow_fields], 1, 100)
        check_range("reduced", [self.reduced], 1, 100_000)
        check_range("subsample", [self.subsample], 1, 1000)


def sampler(run: Run) -> SparseSampler:
    """A sampler of K frames, or stacks of flow fields, of the whole video."""
    return SparseSampler(run.options.images, (fields_of_image(run),))


def build(run: Run, weights: str | None = None) -> TemporalRelationNetwork:
    """The run's network; `weights` replaces the initial weights of its options."""
    options: TrnOptions = run.options
    backbone = run_backbone(options, single_modality(run), sampler(run).stack, weights)
    dropout = options.stream(run.name.input).dropout
    return TemporalRelationNetwork(
        backbone, options.images, len(run.classes), dropout, options.reduced, options.subsample
    )


METHOD = network_method(TrnOptions, build, sampler)
