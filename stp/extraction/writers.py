"""Files of a clip's flow: the pipeline's HDF5, float32 npy, quantised images as in TSN, and video to look at.

Each writer is a context that gives a function for the clip's fields, called with piece after piece in order. The file
or folder appears under its name when the context ends well, and not at all if it does not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stp.data.shards import ShardWriter, write_shard
from stp.extraction.engine import FlowChunk, WriteChunk
from stp.flow import quantise
from stp.flow.colours import colour_wheel, one_torch_thread
from stp.system.files import complete_file, complete_folder
from stp.video.clip import GreyClip
from stp.video.writing import video_writer


@dataclass(frozen=True)
class Fields:
    """Consecutive fields of a clip's flow or warped flow, number `first` and those after it."""

    first: int
    flow: np.ndarray  # (n, 2, H, W) float32, pixels
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)  # further arrays of n rows each


Append = Callable[[Fields], object]


@dataclass(frozen=True)
class FlowFile:
    """A file of flow to write."""

    path: Path
    modality: str  # of | wof
    clip: GreyClip
    pairs: int
    bound: float  # pixels
    parameters: dict[str, Any]


def fields_of(chunk: FlowChunk, modality: str) -> Fields:
    """The chunk's flow (of), or its warped flow with the camera's motion (wof)."""
    if modality == "of":
        return Fields(chunk.first, chunk.flow)
    if chunk.warped is None:
        raise ValueError(f"{chunk.clip.name}: no warped flow was computed")
    warped = chunk.warped
    extras = {"homographies": warped.homographies, "inliers": warped.inliers, "identity": warped.identity}
    return Fields(chunk.first, warped.flow, extras)


@contextmanager
def write_chunks(writers: Mapping[str, AbstractContextManager[Append]]) -> Iterator[WriteChunk]:
    """A clip's writer of chunks, made of one writer for each modality."""
    with ExitStack() as stack:
        appends = {modality: stack.enter_context(writer) for modality, writer in writers.items()}

        def write(chunk: FlowChunk) -> None:
            for modality, append in appends.items():
                append(fields_of(chunk, modality))

        yield write


@contextmanager
def clip_in_shard(
    shard: ShardWriter, clip: GreyClip, pairs: int, bound: float, pool: ThreadPoolExecutor
) -> Iterator[Append]:
    """Writes a clip's fields as bytes into an open shard, and its further arrays at the end."""
    extras: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    shard.create(clip.name, (pairs, 2, clip.height, clip.width))

    def append(fields: Fields) -> None:
        shard.fill(clip.name, fields.first, np.stack(list(pool.map(partial(quantise, bound=bound), fields.flow))))
        for name, array in fields.extras.items():
            extras[name].append(array)

    yield append
    shard.add(clip.name, **{name: np.concatenate(arrays) for name, arrays in extras.items()})


@contextmanager
def write_h5(file: FlowFile, pool: ThreadPoolExecutor) -> Iterator[Append]:
    """A shard of one clip, as the pipeline's."""
    with (
        write_shard(file.path, file.modality, file.parameters) as shard,
        clip_in_shard(shard, file.clip, file.pairs, file.bound, pool) as append,
    ):
        yield append


@contextmanager
def write_npy(file: FlowFile, pool: ThreadPoolExecutor) -> Iterator[Append]:
    """float32 (T, 2, H, W) as it was computed, appended to the file piece by piece."""
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
        "fortran_order": False,
        "shape": (file.pairs, 2, file.clip.height, file.clip.width),
    }
    with complete_file(file.path) as temporary, temporary.open("wb") as array:
        np.lib.format.write_array_header_1_0(array, header)
        # Not tofile(), whose error does not say that the disk is full.
        yield lambda fields: array.write(np.ascontiguousarray(fields.flow).data)


@contextmanager
def write_images(file: FlowFile, pool: ThreadPoolExecutor, suffix: str) -> Iterator[Append]:
    """A folder of flow_x_00001 and flow_y_00001, ...: a field's bytes as grey images (JPEG: quality 95)."""
    with complete_folder(file.path) as folder:

        def save(numbered: tuple[int, np.ndarray]) -> None:
            number, flow = numbered
            for axis, image in zip("xy", quantise(flow, file.bound), strict=True):
                encoded = cv2.imencode(suffix, image)[1]
                (folder / f"flow_{axis}_{number:05d}{suffix}").write_bytes(
                    encoded.tobytes()
                )  # cv2.imwrite names no error

        def append(fields: Fields) -> None:
            for _ in pool.map(save, enumerate(fields.flow, start=fields.first + 1)):
                pass  # a job's error is raised here

        yield append


@contextmanager
def write_mp4(file: FlowFile, pool: ThreadPoolExecutor) -> Iterator[Append]:
    """Video of the colour wheel, to look at; sides are made even by repeating the last row or column."""
    odd = file.clip.height % 2, file.clip.width % 2
    height, width = file.clip.height + odd[0], file.clip.width + odd[1]
    with one_torch_thread(), video_writer(file.path, width, height, file.clip.rate, file.pairs) as video:

        def append(fields: Fields) -> None:
            for image in pool.map(partial(colour_wheel, bound=file.bound), fields.flow):
                video.write(np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge"))

        yield append


@dataclass(frozen=True)
class FlowFormat:
    """How flow is written; a folder has no suffix.

    `least_bytes(height, width)` are the fewest that a field can take: formats that compress take fewest for no motion.
    """

    suffix: str
    write: Callable[[FlowFile, ThreadPoolExecutor], AbstractContextManager[Append]]
    least_bytes: Callable[[int, int], int]


def two_still_images(height: int, width: int, suffix: str) -> int:
    """Bytes of the images of a field without motion."""
    return 2 * len(cv2.imencode(suffix, np.full((height, width), 128, np.uint8))[1])


FORMATS = {
    "h5": FlowFormat(".h5", write_h5, lambda height, width: 2 * height * width),
    "npy": FlowFormat(".npy", write_npy, lambda height, width: 2 * height * width * np.dtype(np.float32).itemsize),
    "png": FlowFormat("", partial(write_images, suffix=".png"), partial(two_still_images, suffix=".png")),
    "jpg": FlowFormat("", partial(write_images, suffix=".jpg"), partial(two_still_images, suffix=".jpg")),
    "mp4": FlowFormat(".mp4", write_mp4, lambda height, width: 0),  # a few bytes if nothing moves
}
