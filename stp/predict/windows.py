"""Timelines: the windows in which a long video is predicted, and which frames and fields belong to each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PIECE_FRAMES = 2048  # windows of so many frames share their features, which lie in memory together


@dataclass(frozen=True)
class Window:
    """Consecutive frames of a video: `first` and those after it."""

    first: int
    frames: int

    def span(self, all_frames: int, fields: int) -> tuple[int, int]:
        """First field and number of fields of the window, of a video with so many frames and fields.

        A flow field lies between two frames: a window has one less of them, as a clip has.
        """
        return self.first, max(1, self.frames - (all_frames - fields))


def windows(frames: int, rate: float, length: float, stride: float) -> list[Window]:
    """Windows of `length` seconds, one every `stride` seconds, over a video of so many frames at `rate` frames/s.

    The last one ends with the video, if those before leave frames over. A video shorter than a window is one window;
    none has less than two frames, so that there is motion in it.
    """
    count = min(frames, max(2, round(length * rate)))
    step = max(1.0, stride * rate)
    firsts = [round(i * step) for i in range(int((frames - count) / step) + 2)]
    firsts = [first for first in firsts if first + count <= frames]
    if firsts[-1] + count < frames:
        firsts.append(frames - count)
    return [Window(first, count) for first in firsts]


def pieces(chosen: Sequence[Window], most: int = PIECE_FRAMES) -> Iterator[list[Window]]:
    """Windows in their order, as many together as lie within `most` frames, or one."""
    piece: list[Window] = []
    for window in chosen:
        if piece and window.first + window.frames - piece[0].first > most:
            yield piece
            piece = []
        piece.append(window)
    if piece:
        yield piece
