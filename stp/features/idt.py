"""Improved trajectories (Wang and Schmid, ICCV 2013) of each clip: time, place and 426 numbers of each one.

The flow is the stored one (`of` moves the tracks, `wof` is the flow without the camera's motion), or Farneback's, as
published, which is computed from the frames.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from stp.config import check_range
from stp.data.shards import ClipFields, StoredFields
from stp.errors import UserError
from stp.features import Features
from stp.flow import bound_of, dequantise
from stp.flow.opencv_engines import opencv_threads
from stp.system.devices import Compute
from stp.system.prefetch import prefetch
from stp.system.progress import progress
from stp.trajectories import (
    COLUMNS,
    FarnebackFlow,
    FlowOfPair,
    TrajectoryParameters,
    given_flow,
    layer_sizes,
    trajectories,
)
from stp.video.clip import grey


@dataclass(frozen=True)
class IdtFeatureOptions:
    """The flow, and what is sampled and rejected; defaults are as published, but for the flow.

    `min_motion` multiplies the two thresholds by which tracks are rejected that hardly move: 1.7 pixels of deviation,
    and 1 pixel of displacement without the camera's motion. Micro actions can lie below both.
    """

    flow: Literal["stored", "farneback"] = "stored"
    min_motion: float = 1.0
    scales: int = 8  # most layers, each smaller than the one before by the square root of 2
    stride: int = 5  # pixels of a layer, from one point to the next
    patch: int = 32  # pixels of a layer, the side of what is described around a point

    def __post_init__(self) -> None:
        check_range("min_motion", [self.min_motion], 0, 100)
        check_range("scales", [self.scales], 1, 8)
        check_range("stride", [self.stride], 1, 100)
        check_range("patch", [self.patch], 4, 256)
        if self.patch % 2:
            raise UserError(f"config: option patch: {self.patch} is not allowed; allowed: even numbers, 4 to 256")

    @property
    def parameters(self) -> TrajectoryParameters:
        """The options as the arithmetic wants them."""
        return TrajectoryParameters(self.scales, self.stride, self.patch, self.min_motion)


def stored_flow(flow: StoredFields, warped: StoredFields, bounds: tuple[float, float]) -> FlowOfPair:
    """The flow and warped flow of a clip from their bytes, field by field."""
    pairs = zip(flow, warped, strict=True)
    return given_flow((dequantise(field, bounds[0]), dequantise(other, bounds[1])) for field, other in pairs)


def flow_source(options: IdtFeatureOptions, sources: Mapping[str, ClipFields]) -> Callable[[str], FlowOfPair]:
    """Gives the flows of each clip.

    Raises:
        UserError: stored flow is missing, or is not from each frame to the next.
    """
    if options.flow == "farneback":
        return lambda clip: FarnebackFlow()
    missing = {"of", "wof"} - set(sources)
    if missing:
        raise UserError(
            f"features.idt.flow: stored, but there are no shards of {', '.join(sorted(missing))}; add them to "
            "modalities, or set flow: farneback"
        )
    flow, warped = sources["of"], sources["wof"]
    bounds = bound_of(flow.parameters), bound_of(warped.parameters)

    def flow_of_clip(clip: str) -> FlowOfPair:
        frames = len(sources["rgb"][clip])
        for fields in (flow, warped):
            if len(fields[clip]) != max(frames - 1, 1):
                raise UserError(
                    f"features.idt.flow: clip '{clip}' has {frames} frames, but {len(fields[clip])} fields of "
                    f"{fields.modality}; flow from each frame to the next is needed: compute it again"
                )
        return stored_flow(flow[clip], warped[clip], bounds)

    return flow_of_clip


def extract(
    options: IdtFeatureOptions, sources: Mapping[str, ClipFields], compute: Compute
) -> Iterator[tuple[str, np.ndarray]]:
    """The id and the trajectories of each clip, float16 (n, 430): time, x, y, layer, and 426 numbers.

    Raises:
        UserError: frames are smaller than a patch, or an error of `flow_source`.
    """
    frames, parameters = sources["rgb"], options.parameters
    flow_of_clip = flow_source(options, sources)

    def rows(clip: str) -> np.ndarray:
        count, _, height, width = frames.shape(clip)
        try:
            layer_sizes(height, width, parameters)
        except ValueError as error:
            raise UserError(f"features.idt.patch: {error}; lower it, or store larger frames") from None
        found = trajectories(grey(frames[clip]), count, flow_of_clip(clip), parameters)
        none = np.empty((0, COLUMNS), np.float16)
        return np.concatenate([none, *(some.rows(count).astype(np.float16) for some in found)])

    clips, threads = frames.clips(), torch.get_num_threads()
    # Clips at once, not the layers of each: half of a clip's work is its first layer's.
    with opencv_threads(1), closing(prefetch(rows, clips, threads, threads)) as computed:
        yield from zip(clips, progress(computed, total=len(clips), desc="trajectories", unit="clip"), strict=True)


FEATURES = Features(IdtFeatureOptions, extract)
