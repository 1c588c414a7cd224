"""Decoding: video file -> frames of one size, RGB or grey, and the check that a video decodes to its end.

FFmpeg decodes, through PyAV. The decoder and the time stamps are trusted, and not the number of frames that a header
declares: files that were trimmed, or whose sound is longer than the picture, declare frames that are never shown. What
else a container says of its size, its duration and its packets is compared with what is there.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from stp.video.containers import FRAME_A_PACKET, breaks_off, hole
from stp.video.rate import ROUNDING

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
    ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})
# fmt: on
# FFmpeg's names. Playlists are not among them: they would read other files, or the network.
CONTAINERS = "asf,avi,dv,flv,h264,hevc,m4v,matroska,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg"
# A part of a video: start and end in seconds after its first frame. It has the frames shown from the start on and
# before the end, so that parts next to each other share none.
Part = tuple[float, float]

# What FFmpeg calls "careful": errors that have not been seen in the wild in healthy files.
STRICT = {"err_detect": "crccheck+bitstream+buffer+careful+explode"}
FRAMES_AWAY = 2  # frames that a whole video may lack of its declared duration: muxers round
SECONDS_AWAY = 0.1  # the same in seconds, for the sound's packets
LEAD = 10.0  # seconds; key frames are rarely farther apart: x264's are 250 frames
SQUARE = 0.02  # pixels that differ less from squares are meant to be squares: encoders round the shape of the picture

# FFmpeg's own lines name no file. They are the reasons given for damaged videos, and are shown nowhere else.
av.logging.set_level(av.logging.INFO)
av.logging.set_skip_repeated(False)  # lines would be held back, and counted with the next video's
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False


@dataclass(frozen=True)
class VideoFacts:
    """Facts about a video that was decoded to its end.

    `times` are frames + 1 values in seconds: when each frame is shown, the first at 0, and when the last one ends. All
    facts of a part of a video are those of its frames alone.
    """

    frames: int
    width: int  # pixels, as the video is shown
    height: int
    rate: float  # frames per second; the mean where the rate varies, 0 where nothing is known
    times: tuple[float, ...]
    damage: str = ""  # the first error that decoding met, in words; empty if there was none


class UndecodableError(Exception):
    """A video or an image cannot be used; the message says why in a few words."""


def is_video(path: Path) -> bool:
    """True if the name is that of a visible video file."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def even_times(frames: int, rate: float) -> tuple[float, ...]:
    """The times (`VideoFacts.times`) of frames that are shown equally long, `rate` a second."""
    return tuple(t / rate for t in range(frames + 1))


def check_name(path: str) -> None:
    """Raise an UndecodableError for a name that is not UTF-8: neither decoders nor reports could hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UndecodableError("the name is not UTF-8: rename the file or its folder") from None


@contextmanager
def _open(path: str) -> Iterator[tuple[InputContainer, VideoStream, str]]:
    """The container, its first video stream that is no cover, and what its reader said about holes while it opened.

    Raises:
        UndecodableError: there is no such stream, or it cannot be decoded.
    """
    check_name(path)
    if not Path(path).is_file():
        raise UndecodableError("is a folder" if Path(path).is_dir() else "no such file")
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    with av.logging.Capture() as lines:
        try:
            # A name as `a:b.mp4` is no address.
            container = av.open(f"file:{path}", "r", container_options=options, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise UndecodableError(f"cannot be opened as a video ({_words(error)})") from None
    with container:
        videos = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
        if not videos:
            raise UndecodableError("has no pictures")
        stream = videos[0]
        if stream.codec_context is None:
            unknown = [text.splitlines()[0] for _, _, text in lines if "codec" in text]
            raise UndecodableError(f"cannot be decoded ({unknown[-1] if unknown else 'unknown codec'})")
        stream.codec_context.thread_count = 1
        yield container, stream, _hole(lines)


def _hole(lines: Sequence[tuple[int, str, str]]) -> str:
    """The first of FFmpeg's lines about bytes that are missing or wrong within the file; empty if there is none."""
    return next((text.strip() for _, _, text in lines if hole(text)), "")


def _words(error: Exception) -> str:
    """FFmpeg's words about an error: its last line about it, or the system's."""
    if isinstance(error, av.FFmpegError) and error.log:
        words = str(error.log[-1]).strip()
        return "its container is none of those of videos" if "whitelist" in words else words
    return str(getattr(error, "strerror", None) or error)


class _Reader:
    """Reads the frames of a video, and keeps what its decoder and its container say about damage.

    A `strict` one finds more damage, and then fewer frames. Of a part, only its own frames and damage are read.
    """

    def __init__(self, path: str, strict: bool = False, part: Part | None = None) -> None:
        self.path, self.strict, self.part = path, strict, part
        self.damage = ""  # what was noticed first
        self.frames = 0  # so far
        self.rate = 0.0  # frames per second by the container; 0 where it does not say
        self.aspect = 1.0  # width of a pixel over its height

    def read(self) -> Iterator[VideoFrame]:
        """The frames in the order in which they are shown, damaged ones too.

        Raises:
            UndecodableError: as in `_open`; or no frame decodes; or a part has no frames, or cannot be found.
        """
        if self.part is None:
            yield from self._whole()
        else:
            yield from self._of_part(*self.part)

    def _of_part(self, start: float, end: float) -> Iterator[VideoFrame]:
        """The frames of a part, read from the last key frame before it where the container finds that.

        Containers without an index find any frame, and nothing decodes before the next key frame.
        """
        found = False
        for begin in dict.fromkeys((max(0.0, start), max(0.0, start - LEAD), 0.0)):
            reached = not begin  # a frame at or before the start, which none of the part comes before
            for seconds, frame in self._timed(start, begin):
                reached = reached or seconds <= start + ROUNDING
                if not reached:
                    break  # the container has led behind the start: read from an earlier place
                if seconds >= end - ROUNDING:
                    return
                if seconds < start - ROUNDING:
                    continue
                found = True
                yield frame
            else:
                if found:
                    return
        if not found:
            raise UndecodableError(f"ends before {start:g} seconds, where the clip begins")

    def _timed(self, start: float, begin: float) -> Iterator[tuple[float, VideoFrame]]:
        """The frames from about `begin` seconds on, each with its seconds after the first of the video.

        Damage of packets that end before `start` is forgotten.
        """
        with _open(self.path) as (container, stream, words):
            self._note(words)
            self._prepare(stream)
            first = float((stream.start_time or 0) * (stream.time_base or 0))
            if begin and stream.time_base:
                with suppress(av.FFmpegError):
                    container.seek(int((first + begin) / stream.time_base), stream=stream, backward=True)
            packets = container.demux(stream)
            while (packet := self._next(packets)) is not None:
                frames = list(self._decode(stream, packet))
                if packet.pts is not None and (packet.pts + (packet.duration or 0)) * packet.time_base - first <= start:
                    self.damage, self.frames = "", 0  # of what lies before the part
                for frame in frames:
                    if frame.time is None:
                        raise UndecodableError("has no time stamps, by which a clip could be cut out of it")
                    yield frame.time - first, frame

    def _prepare(self, stream: VideoStream) -> None:
        if self.strict:
            stream.codec_context.options = STRICT
        self.rate = float(stream.guessed_rate or 0)
        self.aspect = float(stream.sample_aspect_ratio or 1)

    def _whole(self) -> Iterator[VideoFrame]:
        with _open(self.path) as (container, stream, words):
            self._note(words)
            self._prepare(stream)
            ends: dict[int, float] = {}  # seconds, of the packets of each stream so far
            own = 0
            packets = container.demux()
            while (packet := self._next(packets)) is not None:
                if packet.pts is not None and packet.time_base:
                    number, end = packet.stream.index, (packet.pts + (packet.duration or 0)) * packet.time_base
                    ends[number] = max(ends.get(number, 0.0), float(end))
                if packet.stream.index == stream.index:
                    own += bool(packet.size)
                    if packet.is_corrupt:
                        self._note("the file breaks off within it")
                    yield from self._decode(stream, packet)
            if container.format.name == "avi":
                every = stream.codec_context.codec.name in FRAME_A_PACKET
                if own < sum(bool(entry.size) for entry in stream.index_entries) or (every and self.frames < own):
                    self._report("frames that its index lists are missing")
            self._check_end(container, max(ends.values(), default=0.0))
        if not self.frames:
            raise UndecodableError(self.damage or "no frame can be decoded")

    def _next(self, packets: Iterator[Any]) -> Any:
        """The next packet; None at the end, or where the container can be read no further."""
        with av.logging.Capture() as lines:
            try:
                packet = next(packets, None)
            except IndexError:  # PyAV's, at the end of a file in which streams have appeared on the way
                packet = None
            except av.FFmpegError as error:
                self._note(_words(error))
                packet = None
        self._note(_hole(lines))
        return packet

    def _decode(self, stream: VideoStream, packet: Any) -> Iterator[VideoFrame]:
        name, frames = stream.codec_context.codec.name, []
        with av.logging.Capture() as lines:
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._note(f"{name}: {_words(error)}")
        # The decoder's lines, and none of a demuxer, which also warns about what does no harm.
        for level, source, text in lines:
            if level <= av.logging.ERROR and source == name:
                self._note(f"{name}: {text.strip()}")
        for frame in frames:
            if frame.is_corrupt:
                self._note(f"{name}: errors were concealed")
            self.frames += 1
            yield frame

    def _check_end(self, container: InputContainer, end: float) -> None:
        """Note a file that ends before its declared size, or, at `end` seconds, before its declared duration."""
        if breaks_off(self.path, container.format.name):
            self._report("the file breaks off at its end")
        if not container.duration or not self.frames:
            return
        declared, start = container.duration / av.time_base, (container.start_time or 0) / av.time_base
        # Some containers count from 0, and others from the first packet.
        reached = max(end, end - start)
        allowed = max(SECONDS_AWAY, FRAMES_AWAY / self.rate if self.rate else 0)
        if declared - reached > allowed:
            self._report(f"ends after {reached:.2f} of {declared:.2f} seconds")

    def _note(self, words: str) -> None:
        if words:
            self._report(f"frame {self.frames + 1} is damaged ({words})")

    def _report(self, damage: str) -> None:
        self.damage = self.damage or damage


def declared_frames(path: str, fps: float | None = None, part: Part | None = None) -> int:
    """The number of frames that a video's container declares, at its own rate or at `fps`, without decoding any.

    It may be wrong, and is 0 where the container declares neither frames nor a duration. Of a part, it is the number
    that its duration takes.

    Raises:
        UndecodableError: there is no such file, or it cannot be opened as a video.
    """
    with _open(path) as (container, stream, _):
        rate = float(stream.guessed_rate or 0)
        seconds = stream.frames / rate if stream.frames and rate else (container.duration or 0) / av.time_base
        if part:
            seconds = max(0.0, min(seconds, part[1]) - part[0])
        return round(seconds * (fps or rate))


@dataclass(frozen=True)
class VideoHeader:
    """A container's words about its video: FFmpeg's names of codec and pixel format, and frames/s, 0 if unknown."""

    codec: str
    pixels: str
    rate: float


def read_header(path: str) -> VideoHeader:
    """The header of a video, none of whose frames is decoded.

    Raises:
        UndecodableError: there is no such file, or it cannot be opened as a video.
    """
    with _open(path) as (_, stream, _):
        context = stream.codec_context
        return VideoHeader(context.codec.canonical_name, context.pix_fmt or "", float(stream.guessed_rate or 0))


def examine_video(path: str, part: Part | None = None) -> VideoFacts:
    """Decode a video, or a part of it, to its end.

    Raises:
        UndecodableError: there is no such file, it is no video, or it is damaged: the decoder reports an error, or the
            file ends early.
    """
    facts = examine_damaged_video(path, part)
    if facts.damage:
        raise UndecodableError(facts.damage)
    return facts


def examine_damaged_video(path: str, part: Part | None = None) -> VideoFacts:
    """Decode a video, or a part of it, to its end, over any damage (`VideoFacts.damage`).

    Raises:
        UndecodableError: there is no such file, it is no video, or none of its frames decodes.
    """
    try:
        facts = _examine(path, True, part)
        damage = facts.damage
        if not damage:
            return facts
    except UndecodableError as error:
        damage = str(error)
    # Strictness costs frames, so those of a damaged video are counted without it.
    return replace(_examine(path, False, part), damage=damage)


def _examine(path: str, strict: bool, part: Part | None) -> VideoFacts:
    reader = _Reader(path, strict, part)
    stamps: list[float | None] = []
    size, last = (0, 0), 0.0
    for frame in reader.read():
        if not stamps:
            size = _shown_size(frame, reader.aspect)
        stamps.append(frame.time)
        last = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    rate = reader.rate
    times = _times(stamps, last, rate)
    if times[-1] > 0 and not (rate and _is_even(times, rate)):
        rate = len(stamps) / times[-1]
    return VideoFacts(len(stamps), *size, rate, times, reader.damage)


def _times(stamps: list[float | None], last: float, rate: float) -> tuple[float, ...]:
    """Times of the frames (`VideoFacts.times`) from their stamps; without usable stamps, those of the constant rate.

    `last` is how long the last frame is shown, in seconds; 0 if that is not known.
    """
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps) or any(b <= a for a, b in pairwise(known)):
        return even_times(len(stamps), rate) if rate else (0.0,) * (len(stamps) + 1)
    usual = (known[-1] - known[0]) / (len(known) - 1) if len(known) > 1 else (1 / rate if rate else 0.0)
    times = [stamp - known[0] for stamp in known]
    return (*times, times[-1] + (last or usual))


def _is_even(times: tuple[float, ...], rate: float) -> bool:
    """True if no frame is shown half a frame or more from its time at the constant rate."""
    return max(abs(t - even) for t, even in zip(times, even_times(len(times) - 1, rate), strict=True)) < 0.5 / rate


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Signs a, b, c, d of the frame's display matrix: a pixel (x, y) is shown at (a x + c y, b x + d y)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def _upright(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """An image (H, W, 3) turned and mirrored as it is to be shown; the nearest quarter turn is taken."""
    a, b, c, d = matrix
    if matrix == (1, 0, 0, 1):
        return image
    if not a:  # x and y change places
        image = image.transpose(1, 0, 2)
    if a + c < 0:
        image = image[:, ::-1]
    if b + d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


def _shown_size(frame: VideoFrame, aspect: float) -> tuple[int, int]:
    """Width and height of a frame as it is shown; pixels that are not square, `aspect` wide, make it wider."""
    width, height = frame.width, frame.height
    if abs(aspect - 1) > SQUARE:
        width = max(1, round(width * aspect))
    return (width, height) if _display_matrix(frame)[0] else (height, width)


def _decode(path: str, part: Part | None = None) -> Iterator[np.ndarray]:
    """Frames of a video, uint8 (H, W, 3) BGR, upright, in the size in which they are stored; errors as in `_open`."""
    convert = VideoReformatter()
    for frame in _Reader(path, part=part).read():
        # This format and this filter give the same bytes as OpenCV's reader, of any pixel format.
        bgr = convert.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
        yield _upright(_pixels(bgr), _display_matrix(frame))


def _pixels(frame: VideoFrame) -> np.ndarray:
    """The pixels of a BGR frame, uint8 (H, W, 3), not copied: its rows may lie apart."""
    [plane] = frame.planes
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)


def resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """A frame (H, W) or (H, W, 3) in another size, bilinearly as in TSN's extraction."""
    if frame.shape[:2] == (height, width):
        return frame
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


def decode(path: str, width: int, height: int, part: Part | None = None) -> Iterator[np.ndarray]:
    """Frames of a video or a part of it, resized, RGB (height, width, 3) uint8.

    Raises:
        UndecodableError: as in `examine_damaged_video`.
    """
    for frame in _decode(path, part):
        yield cv2.cvtColor(resize(frame, width, height), cv2.COLOR_BGR2RGB)


def decode_grey(path: str, width: int, height: int, part: Part | None = None) -> Iterator[np.ndarray]:
    """Frames of a video or a part of it, resized and then grey (luma), uint8 (height, width); errors as in `decode`."""
    for frame in _decode(path, part):
        yield cv2.cvtColor(resize(frame, width, height), cv2.COLOR_BGR2GRAY)


def count_pictures(path: str) -> int:
    """Number of the pictures that a video holds, none of which is decoded; errors as in `decode`."""
    with _open(path) as (container, stream, _):
        return sum(bool(packet.size) for packet in container.demux(stream))


def stored_size(path: str) -> tuple[int, int]:
    """Width and height in pixels of a video's frames, upright, as they are stored; errors as in `decode`."""
    height, width = next(_decode(path)).shape[:2]
    return width, height
