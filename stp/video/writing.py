"""Video files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from stp.system.files import complete_file


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
