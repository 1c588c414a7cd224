"""Decoding: video file -> frames of one size, RGB or grey, and the check that a video decodes to its end."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from stp.data.index import Clip
from stp.system.progress import progress

Found = TypeVar("Found")

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
# Packed MPEG-4 streams and containers without a stored frame count declare a frame or two too many.
MISSING_FRAMES_ALLOWED = 2


@dataclass(frozen=True)
class BadVideo:
    """A clip that cannot be decoded to the end, and why."""

    clip: Clip
    reason: str

    def __str__(self) -> str:
        return f"{self.clip.path}: {self.reason}"


@dataclass(frozen=True)
class VideoFacts:
    """Facts about a video that was decoded to its end."""

    frames: int
    width: int  # pixels, of the first frame as it is shown
    height: int
    rate: float  # frames per second; 0 where the file does not say


class UndecodableError(Exception):
    """A video or an image cannot be used; the message says why in a few words."""


def is_video(path: Path) -> bool:
    """True if the name is that of a visible video file."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def _open(path: str) -> cv2.VideoCapture:
    # FFmpeg alone: OpenCV would otherwise try a name with digits as a sequence of image files.
    return cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def examine_video(path: str) -> VideoFacts:
    """Decode a video to its end.

    Raises:
        UndecodableError: there is no such file, it is no video, or decoding stops early.
    """
    if not Path(path).is_file():
        raise UndecodableError("no such file")
    capture = _open(path)
    try:
        if not capture.isOpened():
            raise UndecodableError("cannot be opened as a video")
        declared, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
        ok, frame = capture.read()
        if not ok:
            raise UndecodableError("no frame can be decoded")
        frames = 1
        while capture.grab():
            frames += 1
    finally:
        capture.release()
    if frames < declared - MISSING_FRAMES_ALLOWED:
        raise UndecodableError(f"decoding stops after frame {frames} of {declared}")
    height, width = frame.shape[:2]
    return VideoFacts(frames, width, height, rate if np.isfinite(rate) else 0.0)


def check_video(clip: Clip) -> Clip | BadVideo:
    """Decode a clip to the end: the clip with its number of frames, or why it is unusable."""
    try:
        return replace(clip, frames=examine_video(clip.path).frames)
    except UndecodableError as error:
        return BadVideo(clip, str(error))


def examine_clips(clips: Sequence[Clip], look: Callable[[Clip], Found], threads: int = 1) -> list[Found]:
    """The results of `look` for every clip, in the order given, with a progress bar."""
    with ThreadPoolExecutor(threads) as pool:
        return list(progress(pool.map(look, clips), total=len(clips), desc="check", unit="clip"))


def check_videos(
    clips: list[Clip], threads: int = 1, check: Callable[[Clip], Clip | BadVideo] = check_video
) -> tuple[list[Clip], list[BadVideo]]:
    """Check every clip; good ones with their number of frames and bad ones, both in the order given."""
    checked = examine_clips(clips, check, threads)
    good = [clip for clip in checked if isinstance(clip, Clip)]
    bad = [clip for clip in checked if isinstance(clip, BadVideo)]
    return good, bad


def _decode(path: str) -> Iterator[np.ndarray]:
    """Frames of a video, uint8 (H, W, 3) BGR."""
    capture = _open(path)
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                return
            yield frame
    finally:
        capture.release()


def resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """A frame (H, W) or (H, W, 3) in another size, bilinearly as in TSN's extraction."""
    if frame.shape[:2] == (height, width):
        return frame
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


def decode(path: str, width: int, height: int) -> Iterator[np.ndarray]:
    """Frames of a video, resized, RGB (height, width, 3) uint8."""
    for frame in _decode(path):
        yield cv2.cvtColor(resize(frame, width, height), cv2.COLOR_BGR2RGB)


def decode_grey(path: str, width: int, height: int) -> Iterator[np.ndarray]:
    """Frames of a video, resized and then grey (luma), uint8 (height, width)."""
    for frame in _decode(path):
        yield cv2.cvtColor(resize(frame, width, height), cv2.COLOR_BGR2GRAY)


def video_size(path: str) -> tuple[int, int]:
    """Width and height in pixels of a video's first frame; (0, 0) if none can be decoded."""
    frame = next(_decode(path), None)
    return (0, 0) if frame is None else (frame.shape[1], frame.shape[0])
