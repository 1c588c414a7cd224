"""Decoding: video file -> RGB frames of one size, and the check that a video decodes to its end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from stp.index import Clip

# Packed MPEG-4 streams and containers without a stored frame count declare a frame or two too many.
MISSING_FRAMES_ALLOWED = 2


@dataclass(frozen=True)
class BadVideo:
    """A clip that cannot be decoded to the end, and why."""

    clip: Clip
    reason: str

    def __str__(self) -> str:
        return f"{self.clip.path}: {self.reason}"


def _open(path: str) -> cv2.VideoCapture:
    # FFmpeg alone: OpenCV would otherwise try a name with digits as a sequence of image files.
    return cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def check_video(clip: Clip) -> Clip | BadVideo:
    """Decode a clip to the end: the clip with its number of frames, or why it is unusable."""
    if not Path(clip.path).is_file():
        return BadVideo(clip, "no such file")
    capture = _open(clip.path)
    if not capture.isOpened():
        return BadVideo(clip, "cannot be opened as a video")
    declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    frames = 0
    while capture.grab():
        frames += 1
    capture.release()
    if frames == 0:
        return BadVideo(clip, "no frame can be decoded")
    if frames < declared - MISSING_FRAMES_ALLOWED:
        return BadVideo(clip, f"decoding stops after frame {frames} of {declared}")
    return replace(clip, frames=frames)


def check_videos(clips: list[Clip], threads: int = 1) -> tuple[list[Clip], list[BadVideo]]:
    """Check every clip; good ones with their number of frames and bad ones, both in the order given."""
    with ThreadPoolExecutor(threads) as pool:
        checked = list(tqdm(pool.map(check_video, clips), total=len(clips), desc="check", unit="clip"))
    good = [clip for clip in checked if isinstance(clip, Clip)]
    bad = [clip for clip in checked if isinstance(clip, BadVideo)]
    return good, bad


def decode(path: str, width: int, height: int) -> Iterator[np.ndarray]:
    """Frames of a video, resized bilinearly (as TSN's extraction) to RGB (height, width, 3) uint8."""
    capture = _open(path)
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        if frame.shape[:2] != (height, width):
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    capture.release()
