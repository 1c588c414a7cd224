"""Timelines: the windows in which a long video is predicted, and which frames and fields belong to each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PIECE_FRAMES = 2048  # windows within this number of frames share their features, which are in memory together


@dataclass(frozen=True)
class Window:
    """Consecutive frames of a video: the frame `first` and those after it, `frames` in all."""

    first: int
    frames: int

    def span(self, all_frames: int, fields: int) -> tuple[int, int]:
        """First field and number of fields of the window, in a video of `all_frames` frames and `fields` fields.

        A flow field lies between two frames, so a window has one flow field fewer than frames, as a clip does.
        """
        return self.first, max(1, self.frames - (all_frames - fields))


def windows(frames: int, rate: float, length: float, stride: float) -> list[Window]:
    """Windows of `length` seconds, one every `stride` seconds, over a video of `frames` frames at `rate` frames/s.

    If these windows leave frames over, an additional one ends with the video. A video shorter than a window is one
    window. No window has fewer than two frames (unless the video does), so that there is motion in it.
    """
    count = min(frames, max(2, round(length * rate)))
    step = max(1.0, stride * rate)
    firsts = [round(i * step) for i in range(int((frames - count) / step) + 2)]
    firsts = [first for first in firsts if first + count <= frames]
    if firsts[-1] + count < frames:
        firsts.append(frames - count)
    return [Window(first, count) for first in firsts]


def pieces(chosen: Sequence[Window], most: int = PIECE_FRAMES) -> Iterator[list[Window]]:
    """The windows in their order, in groups that span at most `most` frames or consist of one window."""
    piece: list[Window] = []
    for window in chosen:
        if piece and window.first + window.frames - piece[0].first > most:
            yield piece
            piece = []
        piece.append(window)
    if piece:
        yield piece
