"""Videos whose every frame shows its number, in many containers and codecs, healthy in many ways and damaged in others.

The number is drawn as eight blocks, light for 1 and dark for 0: coarse enough for any codec, so that what a decoder
gives can be compared with what was put in.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

os.environ.setdefault("SVT_LOG", "0")  # encoders that print on their own
COLUMNS, ROWS = 4, 2
DARK, LIGHT = 48, 208
SIZE = (96, 72)


@dataclass(frozen=True)
class Kind:
    """A container, by the suffix of its files and FFmpeg's name, with a codec; sound's codec, and what it can hold.

    `can` names healthy variants that this combination allows, beside those that all do.
    """

    suffix: str
    container: str
    encoder: str
    sound: str
    can: frozenset[str] = frozenset()
    pixels: str = "yuv420p"
    size: tuple[int, int] = SIZE
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.suffix}-{self.encoder}"


def kinds() -> list[Kind]:
    """All combinations that FFmpeg as it is bundled can write."""
    timed = frozenset({"uneven", "late"})
    mov = timed | {"trimmed", "rotated", "mirrored", "fragments", "second", "cover"}
    mkv = timed | {"live", "second"}
    fast = {"preset": "ultrafast"}
    h265 = fast | {"x265-params": "log-level=none"}
    av1 = {"preset": "12", "crf": "30", "svtav1-params": "lp=1"}  # one thread: the same bytes each time
    vpx = {"deadline": "realtime", "cpu-used": "8"}
    b = frozenset({"bframes"})
    found = [
        *[Kind("avi", "avi", name, "libmp3lame") for name in ("msmpeg4", "msmpeg4v2", "wmv2", "flv")],
        Kind("avi", "avi", "huffyuv", "pcm_s16le", pixels="yuv422p"),
        Kind("avi", "avi", "mpeg4", "libmp3lame", b),
        Kind("avi", "avi", "mpeg2video", "libmp3lame"),
        Kind("avi", "avi", "mjpeg", "pcm_s16le", frozenset(), "yuvj420p"),
        Kind("avi", "avi", "ffv1", "pcm_s16le"),
        Kind("avi", "avi", "libx264", "libmp3lame", frozenset(), options=fast),
        Kind("mp4", "mp4", "libx264", "aac", mov | b, options={"preset": "veryfast"}),
        Kind("mp4", "mp4", "libx265", "aac", mov - {"second"}, options=h265),
        Kind("mp4", "mp4", "mpeg4", "aac", mov | b),
        Kind("mp4", "mp4", "libsvtav1", "aac", timed, options=av1),
        Kind("mp4", "mp4", "libvpx-vp9", "aac", timed, options=vpx),
        Kind("mp4", "mp4", "mjpeg", "aac", timed, "yuvj420p"),
        Kind("m4v", "mp4", "libx264", "aac", mov | b, options={"preset": "veryfast"}),
        Kind("m4v", "mp4", "mpeg4", "aac", mov),
        Kind("mov", "mov", "libx264", "aac", mov | b, options={"preset": "veryfast"}),
        Kind("mov", "mov", "mjpeg", "pcm_s16le", mov, "yuvj420p"),
        Kind("mov", "mov", "prores_ks", "pcm_s16le", timed, "yuv422p10le"),
        Kind("mov", "mov", "png", "pcm_s16le", timed, "rgb24"),
        *[Kind("mkv", "matroska", name, "libopus", mkv) for name in ("mpeg4", "ffv1")],
        Kind("mkv", "matroska", "mpeg2video", "libopus", mkv - timed),
        Kind("mkv", "matroska", "libx264", "libopus", mkv | b, options={"preset": "veryfast"}),
        Kind("mkv", "matroska", "libx265", "libopus", mkv - {"second"}, options=h265),
        Kind("mkv", "matroska", "libvpx", "libopus", mkv, options=vpx),
        Kind("mkv", "matroska", "libvpx-vp9", "libopus", mkv, options=vpx),
        Kind("mkv", "matroska", "libsvtav1", "libopus", mkv, options=av1),
        Kind("webm", "webm", "libvpx", "libopus", mkv, options=vpx),
        Kind("webm", "webm", "libvpx-vp9", "libopus", mkv, options=vpx),
        Kind("webm", "webm", "libsvtav1", "libopus", mkv, options=av1),
        Kind("mpg", "mpeg", "mpeg1video", "mp2"),
        Kind("mpg", "mpeg", "mpeg2video", "mp2", b),
        Kind("mpeg", "vob", "mpeg2video", "mp2"),
        *[Kind("wmv", "asf", name, "wmav2", timed) for name in ("wmv1", "wmv2", "msmpeg4")],
        Kind("ts", "mpegts", "libx264", "aac", timed | b, options={"preset": "veryfast"}),
        Kind("ts", "mpegts", "mpeg2video", "mp2"),
        Kind("3gp", "3gp", "mpeg4", "aac", timed),
        Kind("3gp", "3gp", "h263", "aac", timed, size=(176, 144)),
        Kind("flv", "flv", "flv", "libmp3lame", timed),
        Kind("flv", "flv", "libx264", "aac", timed, options={"preset": "veryfast"}),
    ]
    return [kind for kind in found if can_write(kind)]


def can_write(kind: Kind) -> bool:
    """True if FFmpeg has the encoder."""
    try:
        av.codec.Codec(kind.encoder, "w")
    except ValueError:
        return False
    return True


def picture(number: int, width: int, height: int) -> np.ndarray:
    """The frame of a number below 256: uint8 (height, width, 3)."""
    bits = [(number >> place) & 1 for place in range(COLUMNS * ROWS)]
    blocks = np.array(bits, bool).reshape(ROWS, COLUMNS)
    rows, columns = np.arange(height) * ROWS // height, np.arange(width) * COLUMNS // width
    grey = np.where(blocks[rows][:, columns], LIGHT, DARK).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def number_of(frame: np.ndarray) -> int:
    """The number in a frame (height, width, 3), whatever its size."""
    height, width = frame.shape[:2]
    number = 0
    for place in range(COLUMNS * ROWS):
        row, column = divmod(place, COLUMNS)
        y, x = (2 * row + 1) * height // (2 * ROWS), (2 * column + 1) * width // (2 * COLUMNS)
        middle = frame[y - 2 : y + 3, x - 2 : x + 3]
        number |= int(middle.mean() > (DARK + LIGHT) / 2) << place
    return number


@dataclass(frozen=True)
class Variant:
    """What is special about a healthy video; `shown` are the numbers that a viewer sees."""

    frames: int = 30
    rate: int = 25
    times: tuple[int, ...] = ()  # milliseconds of each frame, where they are uneven
    sound: float = 0  # seconds
    size: tuple[int, int] | None = None
    bframes: int = 0
    turned: int = 0  # degrees
    mirrored: bool = False
    cover: bool = False
    second: bool = False
    trimmed: int = 0  # frames before the edit list's start
    options: tuple[tuple[str, str], ...] = ()  # of the container

    @property
    def shown(self) -> list[int]:
        return list(range(self.trimmed, self.frames))


def variants(kind: Kind) -> dict[str, Variant]:
    """Healthy videos of a combination, by what is special about each."""
    uneven = tuple(int(t) for t in np.cumsum([17, 133, 33, 40, 67, 21] * 5))
    found = {
        "plain": Variant(),
        "sound": Variant(sound=1.2),
        "long sound": Variant(sound=3),
        "single": Variant(
            frames=1, sound=1 if kind.container == "mpegts" else 0
        ),  # FFmpeg needs some packets to see TS
        "fast": Variant(rate=60 if "mpeg" in kind.encoder or kind.container == "flv" else 120, frames=60),
        "uneven": Variant(times=uneven),
        "late": Variant(times=tuple(2000 + 40 * i for i in range(30))),
        "bframes": Variant(bframes=2, frames=48),
        "rotated": Variant(turned=90),
        "mirrored": Variant(mirrored=True),
        "trimmed": Variant(frames=48, trimmed=20),
        "fragments": Variant(options=(("movflags", "frag_keyframe+empty_moov+default_base_moof"),)),
        "live": Variant(options=(("live", "1"),), sound=2),
        "second": Variant(second=True),
        "cover": Variant(cover=True, sound=1.2),
    }
    always = {"plain", "sound", "long sound", "single", "fast"}
    if kind.size == SIZE:  # H.263 has a few sizes only
        found["odd"] = Variant(size=(98, 74) if "420" in kind.pixels else (97, 73))
        always |= {"odd"}
    chosen = {name: variant for name, variant in found.items() if name in always or name in kind.can}
    for name in ("with blanks", "动作 №1", "50%d_%03d", "img0001", "a'b\"c"):
        chosen[name] = Variant(frames=20)
    return chosen


WHOLE = Variant(frames=40, sound=1.6)  # what is damaged


def write_clip(path: Path, kind: Kind, variant: Variant) -> None:
    """Write a video; ValueError or an error of FFmpeg where the combination does not allow the variant."""
    if not variant.trimmed:
        encode(path, kind, variant)
        return
    whole = path.with_name(f".{path.name}.whole")
    encode(whole, kind, variant)
    cut_by_edit_list(whole, path, kind, variant)
    whole.unlink()


def encode(path: Path, kind: Kind, variant: Variant) -> None:
    """Encode the frames 0, 1, ... and, if wanted, sound."""
    width, height = variant.size or kind.size
    with av.open(str(path), "w", format=kind.container, options=dict(variant.options)) as container:
        stream: Any = container.add_stream(kind.encoder, rate=variant.rate, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = width, height, kind.pixels
        context = stream.codec_context
        context.gop_size = 12
        if kind.encoder != "libsvtav1":  # it has a quality instead
            context.bit_rate = 600_000
        context.max_b_frames = variant.bframes
        context.time_base = Fraction(1, 1000) if variant.times else Fraction(1, variant.rate)
        if kind.encoder not in ("libsvtav1", "prores_ks"):
            context.thread_count = 1
        if variant.turned:
            stream.set_display_rotation(variant.turned)
        if variant.mirrored:
            stream.set_display_matrix((-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30))
        sound: Any = container.add_stream(kind.sound, rate=sound_rate(kind)) if variant.sound else None
        if sound:
            sound.codec_context.bit_rate = 64_000
        other: Any = second_stream(container, kind, variant) if variant.second else None
        if variant.second:
            stream.disposition = av.stream.Disposition.default
        cover: Any = cover_stream(container) if variant.cover else None
        for i in range(variant.frames):
            for track, number, size in ((stream, i, (width, height)), (other, 255 - i, (48, 36))):
                if track:
                    frame: Any = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
                    frame = frame.reformat(format=track.pix_fmt)
                    frame.pts = variant.times[i] if variant.times else i
                    frame.time_base = track.codec_context.time_base
                    container.mux(track.encode(frame))
        if cover:
            frame = av.VideoFrame.from_ndarray(picture(255, 64, 64), format="rgb24")
            container.mux(cover.encode(frame))
        for track in (stream, other, cover):
            if track:
                container.mux(track.encode(None))
        if sound:
            write_sound(container, sound, variant.sound)


def second_stream(container: Any, kind: Kind, variant: Variant) -> Any:
    """A smaller picture beside the first, with other numbers."""
    stream = container.add_stream(kind.encoder, rate=variant.rate, options=kind.options)
    stream.width, stream.height, stream.pix_fmt = 48, 36, kind.pixels
    stream.codec_context.time_base = Fraction(1, variant.rate)
    return stream


def cover_stream(container: Any) -> Any:
    """A cover picture, as music players show it."""
    stream = container.add_stream("png", rate=1)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def sound_rate(kind: Kind) -> int:
    """Samples a second that the sound's codec allows."""
    return 48_000 if kind.sound == "libopus" else 44_100


def write_sound(container: Any, stream: Any, seconds: float) -> None:
    """A quiet tone."""
    context = stream.codec_context
    rate = context.sample_rate
    wave = (np.sin(np.arange(int(seconds * rate)) * 0.05) * 2000).astype(np.int16)[None]
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=rate)
    fifo: Any = av.AudioFifo()
    whole = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    whole.sample_rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
    for frame in resampler.resample(whole):
        fifo.write(frame)
    while frame := fifo.read(context.frame_size or 1024, partial=True):
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def cut_by_edit_list(whole: Path, path: Path, kind: Kind, variant: Variant) -> None:
    """Cut the beginning without encoding again: an edit list says where the picture starts, as phones write it."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(whole)) as source, av.open(str(path), "w", format=kind.container, options=options) as target:
        first = source.streams.video[0]
        stream = target.add_stream_from_template(first)
        shift = round(variant.trimmed / variant.rate / first.time_base)  # type: ignore[operator]
        for packet in source.demux(first):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = stream
            target.mux(packet)


def write_plain(path: Path) -> None:
    """A small video of 16 frames for tests of names."""
    encode(path, Kind("avi", "avi", "mjpeg", "pcm_s16le", pixels="yuvj420p", size=(64, 48)), Variant(frames=16))


def write_named(path: str, kind: str, variant: str) -> None:
    """Write a video by the words for its combination and variant; SystemExit with FFmpeg's words where that fails."""
    found = next(each for each in kinds() if str(each) == kind)
    try:
        if variant == "whole":
            encode(Path(path), found, WHOLE)
        else:
            write_clip(Path(path), found, variants(found)[variant])
    except (ValueError, av.error.FFmpegError) as error:
        raise SystemExit(str(error)) from None


def complaints(path: str) -> None:
    """Print what FFmpeg reports when it reads a video as strictly as it can, and the number of frames.

    A damage that it does not report here cannot be noticed by a program that reads the video through it on one thread.
    """
    av.logging.set_level(av.logging.WARNING)
    with av.logging.Capture(local=False) as said:
        frames, words = 0, ""
        try:
            with av.open(path, options={"err_detect": "explode", "fflags": "-discardcorrupt"}) as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"err_detect": "explode+crccheck+bitstream+buffer+careful"}
                for packet in container.demux(stream):
                    words = "corrupt packet" if packet.is_corrupt else words
                    for frame in packet.decode():
                        frames += 1
                        words = "corrupt frame" if frame.is_corrupt else words
        except (av.error.FFmpegError, ValueError, IndexError) as error:
            words = str(error)
    lines = [line for level, _, line in said if level <= av.logging.ERROR]
    print(f"{frames} {'; '.join([*lines, words])[:200]}".replace("\n", " "))


def same_numbers(frames: Sequence[np.ndarray], numbers: Sequence[int], variant: Variant) -> bool:
    """True if stored frames (H, W, 3) show the numbers in their order, turned and mirrored as the video says."""
    upright = [np.rot90(frame, -1 if variant.turned else 0) for frame in frames]
    upright = [frame[:, ::-1] if variant.mirrored else frame for frame in upright]
    return [number_of(frame) for frame in upright] == list(numbers)
