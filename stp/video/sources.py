"""Sources of frames that a user names: videos, folders of images that are the frames of one clip, folders of those."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stp.errors import UserError
from stp.system.progress import progress
from stp.video.clip import GreyClip
from stp.video.decoding import (
    UndecodableError,
    VideoFacts,
    check_name,
    decode,
    decode_grey,
    even_times,
    examine_video,
    is_video,
    resize,
)
from stp.video.rate import frames_at, take

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"
DEFAULT_RATE = 25.0  # frames per second of images, and of videos whose file does not say


@dataclass(frozen=True)
class Source:
    """A clip to be read: `path` is a video, or the folder of `images`, its frames in order."""

    name: str
    path: Path
    images: tuple[Path, ...] = ()


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Sorting key by which frame 2 comes before frame 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The sources that paths stand for, in the order given and below a folder in natural order.

    A video is named by its stem and a folder of frames by its own name; what lies deeper in a folder by its path from
    there. Images beside videos are not taken for frames.

    Raises:
        UserError: a path does not exist or holds no frames, or two sources have one name or one lies below the other's.
    """
    sources: list[Source] = []
    for path in paths:
        if path.is_dir():
            found = list(sources_below(path))
            if not found:
                raise UserError(f"source '{path}' holds neither videos nor images; name a folder that does")
            sources += found
        elif path.exists():
            sources.append(Source(path.stem, path))
        else:
            raise UserError(f"source '{path}' does not exist; name a video, a folder of frames or a folder of those")
    _check_names(sources)
    return sources


def _unreadable(error: OSError) -> None:
    raise UserError(f"source '{error.filename}': the folder cannot be read ({error.strerror})")


def sources_below(root: Path) -> Iterator[Source]:
    """The sources below a folder in natural order, named by their paths from there."""
    for folder, subfolders, files in os.walk(root, onerror=_unreadable, followlinks=True):
        here = Path(folder)
        visible_folders = [name for name in subfolders if not name.startswith(".") and not _holds(here / name, here)]
        subfolders[:] = sorted(visible_folders, key=natural_order)
        visible = [here / name for name in sorted(files, key=natural_order) if not name.startswith(".")]
        videos = [path for path in visible if is_video(path)]
        images = tuple(path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES)
        if videos and images:
            log.info("%s: %d images beside videos are not taken for frames", here, len(images))
        elif images:
            yield Source(root.resolve().name if here == root else here.relative_to(root).as_posix(), here, images)
        for video in videos:
            yield Source(video.relative_to(root).with_name(video.stem).as_posix(), video)


def _holds(link: Path, folder: Path) -> bool:
    """True if a link leads to a folder that holds the link's own, which would be listed without end."""
    return folder.resolve().is_relative_to(link.resolve())


def _check_names(sources: Sequence[Source]) -> None:
    by_name: dict[str, Source] = {}
    for source in sources:
        other = by_name.setdefault(source.name, source)
        if other is not source:
            raise UserError(
                f"sources '{other.path}' and '{source.path}' are both named '{source.name}'; "
                "rename one of them or write them into different folders"
            )
    for source in sources:
        for parent in Path(source.name).parents:
            above = by_name.get(parent.as_posix())
            if above:
                raise UserError(
                    f"source '{source.path}' is named '{source.name}', below '{above.name}' of '{above.path}'; "
                    "write them into different folders"
                )


def read_image(path: Path) -> np.ndarray:
    """An image file as uint8 (H, W, 3) BGR; UndecodableError if it cannot be read to its end."""
    try:
        content = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        image = None
    # OpenCV fills up what is missing of a JPEG file with grey.
    if image is None or (content[:2] == b"\xff\xd8" and content.rfind(JPEG_END) < content.rfind(JPEG_SCAN)):
        raise UndecodableError(f"{path.name} cannot be read as an image")
    return image


def examine(source: Source) -> VideoFacts:
    """Decode a source to its end.

    Raises:
        UndecodableError: a video stops early, or an image cannot be read or has another size than the first.
    """
    if not source.images:
        return examine_video(str(source.path))
    check_name(str(source.path))
    first = read_image(source.images[0])
    for path in source.images[1:]:
        height, width = read_image(path).shape[:2]
        if (height, width) != first.shape[:2]:
            raise UndecodableError(
                f"{path.name} is {width}x{height}, not {first.shape[1]}x{first.shape[0]} as the first"
            )
    frames = len(source.images)
    return VideoFacts(frames, first.shape[1], first.shape[0], 0.0, even_times(frames, DEFAULT_RATE))


def examine_all(sources: Sequence[Source], threads: int) -> tuple[list[tuple[Source, VideoFacts]], list[str]]:
    """`examine` every source: those that can be read, with their facts; path and reason for each of the others."""

    def look(source: Source) -> VideoFacts | str:
        try:
            return examine(source)
        except UndecodableError as error:
            return f"{source.path}: {error}"

    with ThreadPoolExecutor(threads) as pool:
        found = list(progress(pool.map(look, sources), total=len(sources), desc="check", unit="source"))
    good = [(source, facts) for source, facts in zip(sources, found, strict=True) if isinstance(facts, VideoFacts)]
    return good, [reason for reason in found if isinstance(reason, str)]


def grey_clip(
    source: Source, facts: VideoFacts, size: tuple[int, int] | None = None, fps: float | None = None
) -> GreyClip:
    """The source as a clip of grey frames in its own size and rate, or in `size` (width, height) and `fps` frames/s."""
    width, height = size or (facts.width, facts.height)
    numbers = frames_at(facts.times, fps) if fps else range(facts.frames)

    def read() -> Iterator[np.ndarray]:
        if not source.images:
            return take(decode_grey(str(source.path), width, height), numbers)
        return read_images(source, numbers, (width, height), cv2.COLOR_BGR2GRAY)

    return GreyClip(source.name, len(numbers), height, width, read, rate=fps or facts.rate or DEFAULT_RATE)


def rgb_frames(
    source: Source, facts: VideoFacts, size: tuple[int, int] | None = None, fps: float | None = None
) -> Iterator[np.ndarray]:
    """The frames of which `grey_clip` gives the luma, RGB: uint8 (height, width, 3)."""
    width, height = size or (facts.width, facts.height)
    numbers = frames_at(facts.times, fps) if fps else range(facts.frames)
    if not source.images:
        return take(decode(str(source.path), width, height), numbers)
    return read_images(source, numbers, (width, height), cv2.COLOR_BGR2RGB)


def read_images(source: Source, numbers: Sequence[int], size: tuple[int, int], colour: int) -> Iterator[np.ndarray]:
    """Images of a folder of frames, resized to width and height and then converted by OpenCV's `colour`."""
    for number in numbers:
        yield cv2.cvtColor(resize(read_image(source.images[number]), *size), colour)
