"""Video files, written to the end or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from stp.system.files import complete_file


@contextmanager
def video_writer(
    path: Path, width: int, height: int, rate: float, frames: int, codec: str = "mp4v"
) -> Iterator[cv2.VideoWriter]:
    """A writer of uint8 BGR frames (height, width, 3); the file appears only when all `frames` of them are in it.

    Args:
        path: the file; its suffix names the container, as .mp4 or .avi.
        width: pixels; MPEG-4 needs an even number.
        height: pixels; MPEG-4 needs an even number.
        rate: frames per second.
        frames: number of frames that will be written.
        codec: four characters; "mp4v" is MPEG-4.

    Raises:
        OSError: OpenCV cannot write such a video here, or the file does not hold all frames in the end.
    """
    with complete_file(path) as temporary:
        part = temporary.with_name(f"{temporary.name}{path.suffix}")  # OpenCV finds the container by the name
        video = cv2.VideoWriter(str(part), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate, (width, height))
        try:
            if not video.isOpened():
                raise OSError(f"{path}: OpenCV cannot write {codec} video of {width}x{height} here")
            yield video
            video.release()  # reports no error, so the frames are counted
            written = int(cv2.VideoCapture(str(part), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT))
            if written != frames:
                raise OSError(f"{path}: {written} of {frames} frames were written; is the disk full?")
            os.replace(part, temporary)
        finally:
            video.release()
            part.unlink(missing_ok=True)
