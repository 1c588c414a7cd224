"""Files of a clip's flow: the pipeline's HDF5, float32 npy, quantised images as TSN's, and video for looking at.

Each writer is a context that gives a function for the clip's fields, called with piece after piece in order. The file
or folder appears under its name when the context ends well, and not at all if it does not.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stp.clip_batches import FlowSettings, GreyClip
from stp.clip_flow import FlowChunk, WriteChunk
from stp.files import complete_file, complete_folder
from stp.flow import quantise
from stp.storage import ShardWriter, write_shard


@dataclass(frozen=True)
class Fields:
    """Consecutive fields of a clip's flow or warped flow, number `first` and those after it."""

    first: int
    flow: np.ndarray  # (n, 2, H, W) float32, pixels
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)  # further arrays of n rows each


Append = Callable[[Fields], None]


@dataclass(frozen=True)
class FlowFile:
    """A file of flow that is to be made."""

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


def shard_parameters(settings: FlowSettings, bound: float, modality: str) -> dict[str, Any]:
    """What a shard of flow says of its making."""
    parameters = {"backend": settings.backend, "bound": bound, "step": settings.step, "tvl1": asdict(settings.tvl1)}
    if modality == "wof":
        parameters |= {"detector": settings.detector, "warped_flow": asdict(settings.warped_flow)}
    return parameters


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
        yield lambda fields: np.ascontiguousarray(fields.flow).tofile(array)


@contextmanager
def write_images(file: FlowFile, pool: ThreadPoolExecutor, suffix: str) -> Iterator[Append]:
    """A folder of flow_x_00001 and flow_y_00001, ...: a field's bytes as grey images (JPEG: quality 95)."""
    with complete_folder(file.path) as folder:

        def save(numbered: tuple[int, np.ndarray]) -> None:
            number, flow = numbered
            for axis, image in zip("xy", quantise(flow, file.bound), strict=True):
                path = folder / f"flow_{axis}_{number:05d}{suffix}"
                if not cv2.imwrite(str(path), image):
                    raise OSError(f"{path}: cannot be written")

        yield lambda fields: list(pool.map(save, enumerate(fields.flow, start=fields.first + 1))).clear()


def colour_wheel(flow: np.ndarray, bound: float) -> np.ndarray:
    """Flow (2, H, W) in the colours of the Middlebury wheel, uint8 (H, W, 3) RGB, full at `bound` and beyond."""
    import torch
    from torchvision.utils import flow_to_image  # type: ignore[import-untyped]

    # The function scales by the longest vector it is given, so every field gets one more row with a vector of length
    # `bound`; longer ones end just below it, because rounding must not make them the longest.
    length = np.maximum(np.linalg.norm(flow, axis=0), np.float32(1e-6))
    clipped = flow * np.minimum(1, np.float32(bound * (1 - 1e-6)) / length)
    longest = np.zeros((2, 1, flow.shape[2]), np.float32)
    longest[0] = bound
    image = flow_to_image(torch.from_numpy(np.concatenate([clipped, longest], axis=1, dtype=np.float32)))
    return image[:, :-1].permute(1, 2, 0).numpy()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch with one thread a call, since fields are spread over threads already; the former number is restored."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def video_writer(path: Path, width: int, height: int, rate: float, frames: int) -> Iterator[cv2.VideoWriter]:
    """MPEG-4 video of so many frames, sides even; the file appears only when all of them are in it."""
    with complete_file(path) as temporary:
        part = temporary.with_name(f"{temporary.name}.mp4")  # OpenCV tells the container by the name
        video = cv2.VideoWriter(str(part), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
        try:
            if not video.isOpened():
                raise OSError(f"{path}: OpenCV cannot write MPEG-4 video of {width}x{height} here")
            yield video
            video.release()  # tells of no error, so the frames are counted
            written = int(cv2.VideoCapture(str(part), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT))
            if written != frames:
                raise OSError(f"{path}: {written} of {frames} frames were written; is the disk full?")
            os.replace(part, temporary)
        finally:
            video.release()
            part.unlink(missing_ok=True)


@contextmanager
def write_mp4(file: FlowFile, pool: ThreadPoolExecutor) -> Iterator[Append]:
    """Video of the colour wheel, for looking at; sides are made even by repeating the last row or column."""
    odd = file.clip.height % 2, file.clip.width % 2
    height, width = file.clip.height + odd[0], file.clip.width + odd[1]
    with one_torch_thread(), video_writer(file.path, width, height, file.clip.rate, file.pairs) as video:

        def append(fields: Fields) -> None:
            for image in pool.map(partial(colour_wheel, bound=file.bound), fields.flow):
                even = np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
                video.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))

        yield append


@dataclass(frozen=True)
class FlowFormat:
    """How flow is written; a folder has no suffix."""

    suffix: str
    write: Callable[[FlowFile, ThreadPoolExecutor], AbstractContextManager[Append]]


FORMATS = {
    "h5": FlowFormat(".h5", write_h5),
    "npy": FlowFormat(".npy", write_npy),
    "png": FlowFormat("", partial(write_images, suffix=".png")),
    "jpg": FlowFormat("", partial(write_images, suffix=".jpg")),
    "mp4": FlowFormat(".mp4", write_mp4),
}
