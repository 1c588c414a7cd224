"""Video files, written to the end or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from stp.system.files import complete_file

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines name no file


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
    with complete_file(path, suffix=path.suffix) as temporary:  # OpenCV finds the container by the name
        video = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate, (width, height))
        try:
            if not video.isOpened():
                check_writable(temporary)
                raise OSError(f"{path}: OpenCV cannot write {codec} video of {width}x{height} here")
            yield video
            video.release()  # reports no error, so the frames are counted
            written = int(cv2.VideoCapture(str(temporary), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT))
            if written != frames:
                check_writable(temporary)
                raise OSError(f"{path}: {written} of {frames} frames were written")
        finally:
            video.release()


def check_writable(path: Path) -> None:
    """Raise the OSError of the system, if there is one, by which a library that names none could not write a file."""
    with path.open("ab") as file:
        file.write(bytes(1 << 20))  # more than the buffers of libraries, whose last bytes may not have fitted
        file.flush()
        os.fsync(file.fileno())
