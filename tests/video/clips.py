"""Small videos for tests, whose frames show their numbers, written through PyAV in any container and with any times."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT, BITS = 96, 72, 8
FORMATS = {"mkv": "matroska", "mpg": "mpeg", "ts": "mpegts", "wmv": "asf"}


def picture(number: int) -> np.ndarray:
    """A picture uint8 (72, 96, 3) with a texture that moves, and `number` in black and white blocks above it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = (96 + 40 * np.sin((x + number) / 5) + 40 * np.cos(y / 4 + number / 3)).astype(np.uint8)
    for bit in range(BITS):
        image[:12, 12 * bit : 12 * bit + 12] = 235 if number >> bit & 1 else 16
    return np.repeat(image[..., None], 3, axis=2)


def number_of(image: np.ndarray) -> int:
    """The number that a picture (72, 96, 3) shows."""
    return sum(int(image[2:10, 12 * bit + 2 : 12 * bit + 10].mean() > 128) << bit for bit in range(BITS))


def write(
    path: Path,
    codec: str = "mpeg4",
    frames: int = 20,
    rate: int = 25,
    milliseconds: Sequence[int] = (),
    ticks: Sequence[int] = (),
    sound: float = 0.0,
    options: dict[str, str] | None = None,
    aspect: Fraction = Fraction(1),
) -> Path:
    """Write `frames` pictures, with sound of that many seconds beside them.

    Their times are even unless they are given, in milliseconds or in ticks of the rate.
    """
    suffix = path.suffix.lstrip(".")
    with av.open(str(path), "w", format=FORMATS.get(suffix, suffix)) as container:
        stream: Any = container.add_stream(codec, rate=1000 if milliseconds else rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate, stream.codec_context.thread_count = 600_000, 1
        stream.codec_context.sample_aspect_ratio = aspect
        voice: Any = None
        if sound:
            voice = container.add_stream("aac" if suffix in ("mp4", "mov", "mkv") else "mp2", rate=44100)
            voice.codec_context.layout = "mono"
        unit = Fraction(1, 1000) if milliseconds else Fraction(1, rate)
        stream.codec_context.time_base = unit
        for number, time in zip(range(frames), milliseconds or ticks or range(frames), strict=True):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = time, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice:
            kind, name = (np.float32, "fltp") if voice.codec.name == "aac" else (np.int16, "s16")
            for start in range(0, round(sound * 44100), 1024):
                quiet = av.AudioFrame.from_ndarray(np.zeros((1, 1024), kind), name, "mono")
                quiet.rate, quiet.pts, quiet.time_base = 44100, start, Fraction(1, 44100)
                container.mux(voice.encode(quiet))
            container.mux(voice.encode())
    return path


def remux(source: Path, path: Path, shift: float) -> Path:
    """The packets of a video in another file, `shift` seconds later, without encoding; earlier ones hide frames."""
    with av.open(str(source)) as found, av.open(str(path), "w") as made:
        stream = found.streams.video[0]
        copied = made.add_stream_from_template(stream)
        for packet in found.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts += round(shift / packet.time_base)
                packet.dts += round(shift / packet.time_base)
                packet.stream = copied
                made.mux(packet)
    return path
