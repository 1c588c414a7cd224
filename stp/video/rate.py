"""Frame rates: the frames that a video shows at even times, chosen by its time stamps."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Frame = TypeVar("Frame")

ROUNDING = 0.001  # seconds; Matroska's time stamps are whole milliseconds


def frames_at(times: Sequence[float], fps: float) -> list[int]:
    """Numbers of the frames that are shown at 0, 1/fps, 2/fps, ... seconds; a frame may come several times, or never.

    Args:
        times: when each frame is shown and when the last one ends, in seconds (`stp.video.decoding.VideoFacts.times`).
        fps: frames per second that are wanted.
    """
    count = max(1, round(times[-1] * fps))
    shown = times[:-1]
    return [max(0, bisect_right(shown, number / fps + ROUNDING) - 1) for number in range(count)]


def take(frames: Iterable[Frame], numbers: Sequence[int]) -> Iterator[Frame]:
    """The frames of these numbers, which do not fall; frames behind the last one are not read."""
    source = enumerate(frames)
    number, frame = next(source)
    for wanted in numbers:
        while number < wanted:
            number, frame = next(source)
        yield frame
