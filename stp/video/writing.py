"""Video files that browsers play, written to the end or not at all.

FFmpeg encodes, through PyAV, as H.264 or, where its build lacks that encoder, as VP9: both play in Chromium and
Firefox. The same frames give the same bytes with the same version of PyAV: there is one thread, and the processor has
no say.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from stp.errors import UserError
from stp.system.files import complete_file
from stp.video.decoding import UndecodableError, count_pictures

log = logging.getLogger("stp")
BT601 = 6  # FFmpeg's number of this matrix between RGB and YUV, for players
LARGEST_PART = 1001  # of a frame rate, as in 30000/1001


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg and its options."""

    name: str
    codec: str  # as people call it
    options: dict[str, str]


# Frames decode at least as close to what was drawn as by MPEG-4 before (benchmarks/RESULTS.md). Without B frames and
# their coarser quality, motion is closer, too.
ENCODERS = (
    Encoder(
        "libx264",
        "H.264",
        {"preset": "veryfast", "crf": "17", "x264-params": "bframes=0:cpu-independent=1"},
    ),
    Encoder("libvpx-vp9", "VP9", {"crf": "20", "b:v": "0", "deadline": "realtime", "cpu-used": "6"}),
)


def available(encoder: Encoder) -> bool:
    """True if PyAV's FFmpeg has the encoder."""
    try:
        av.Codec(encoder.name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


@cache  # the warning is one line
def choose_encoder() -> Encoder:
    """The first of ENCODERS that is here; a warning says so if it is not the first of all.

    Raises:
        UserError: there is none.
    """
    found = next(filter(available, ENCODERS), None)
    if found is None:
        names = " nor ".join(f"{encoder.codec} ({encoder.name})" for encoder in ENCODERS)
        raise UserError(f"video: PyAV writes neither {names} here; pip install --force-reinstall av brings both")
    if found is not ENCODERS[0]:
        log.warning("video: PyAV lacks %s here, so videos are %s", ENCODERS[0].name, found.codec)
    return found


class VideoWriter:
    """An open video; `write` appends a frame, uint8 RGB (height, width, 3)."""

    def __init__(self, container: OutputContainer, stream: VideoStream) -> None:
        self._container, self._stream, self._convert = container, stream, VideoReformatter()

    def write(self, frame: np.ndarray) -> None:
        """Encode a frame; errors of FFmpeg, such as a full disk, may come with any later one."""
        yuv = self._convert.reformat(
            av.VideoFrame.from_ndarray(frame, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        self._container.mux(self._stream.encode(yuv))

    def finish(self) -> None:
        """Write the frames that the encoder still holds."""
        self._container.mux(self._stream.encode())


@contextmanager
def video_writer(
    path: Path, width: int, height: int, rate: float, frames: int, encoder: Encoder | None = None
) -> Iterator[VideoWriter]:
    """A writer of uint8 RGB frames (height, width, 3); the file appears only when all `frames` of them are in it.

    Args:
        path: the file, .mp4; what a player needs first comes first in it.
        width: pixels, an even number.
        height: pixels, an even number.
        rate: frames per second.
        frames: number of frames that will be written.
        encoder: one of ENCODERS; None for the one that `choose_encoder` gives.

    Raises:
        UserError: an odd side, no frame rate, or no encoder.
        OSError: the file cannot be written, or does not hold all frames in the end.
    """
    encoder = encoder or choose_encoder()
    if path.suffix != ".mp4":
        raise UserError(f"{path}: videos are written as mp4 alone; end the name in .mp4")
    if width % 2 or height % 2:
        raise UserError(f"{path}: {encoder.codec} video has even sides, not {width}x{height}; add one to the odd one")
    if rate <= 0:
        raise UserError(f"{path}: {rate} frames per second; give a rate above 0")
    with complete_file(path, suffix=path.suffix) as temporary:
        try:
            muxer_options = {"movflags": "+faststart"}
            with av.open(f"file:{temporary}", "w", format="mp4", container_options=muxer_options) as container:
                stream: Any = container.add_stream(encoder.name, Fraction(rate).limit_denominator(LARGEST_PART))
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                context = stream.codec_context
                context.options, context.thread_count = encoder.options, 1
                context.colorspace, context.color_range = BT601, ColorRange.MPEG
                # Not left to the first packet: PyAV would try a header that failed again with the next one, and FFmpeg
                # crashes on a second one. So there is no writer without a header.
                container.start_encoding()
                video = VideoWriter(container, stream)
                yield video
                video.finish()
        except av.FFmpegError as error:
            check_writable(temporary)
            raise OSError(errno.EIO, f"{encoder.codec} cannot be written ({error.strerror})", str(path)) from None
        try:
            written = count_pictures(str(temporary))
        except UndecodableError:
            written = 0
        if written != frames:
            check_writable(temporary)
            raise OSError(f"{path}: {written} of {frames} frames were written")


def check_writable(path: Path) -> None:
    """Raise the OSError of the system, if there is one, by which a library that names none could not write a file."""
    with path.open("ab") as file:
        file.write(bytes(1 << 20))  # more than the buffers of libraries, whose last bytes may not have fitted
        file.flush()
        os.fsync(file.fileno())
