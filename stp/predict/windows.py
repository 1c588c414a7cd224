"""Timelines: the windows in which a long video is predicted, and which frames and fields belong to each."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stp.video.rate import ROUNDING

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


def windows(times: Sequence[float], length: float, stride: float) -> list[Window]:
    """Windows of `length` seconds, one every `stride` seconds: each has the frames that begin within it.

    `times` are those of the frames and of the end, in seconds (`stp.video.decoding.VideoFacts.times`). If these windows
    leave frames over, an additional one ends with the video. A video shorter than a window is one window. No window has
    fewer than two frames (unless the video does), so that there is motion in it. Windows that begin with the same
    frame, because it is shown for longer than a stride, are one.
    """
    shown, end = times[:-1], times[-1]
    frames = len(shown)

    def window(start: float, stop: float) -> Window:
        first, after = bisect_left(shown, start - ROUNDING), bisect_left(shown, stop - ROUNDING)
        if after - first < 2:
            first = max(0, min(first - 1, frames - 2))
            after = min(frames, first + 2)
        return Window(first, after - first)

    number = int((end - length + ROUNDING) / stride) + 1 if end >= length - ROUNDING else 0
    chosen = [window(i * stride, i * stride + length) for i in range(number)] or [Window(0, frames)]
    if chosen[-1].first + chosen[-1].frames < frames:
        chosen.append(window(end - length, end + 1))
    return list({window.first: window for window in chosen}.values())


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
