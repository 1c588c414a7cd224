"""A video with its trajectories drawn on it: a green tail behind each point, and a red dot where it is."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from stp.trajectories.parameters import LENGTH
from stp.video.writing import video_writer

RED = (255, 0, 0)
FRACTION = 4  # bits of a coordinate's fraction, in drawing
HEIGHT_OF_LINE = 240  # pixels of height for each pixel of a line's width


def draw(image: np.ndarray, tails: np.ndarray) -> None:
    """Draw tails (n, k, 2) on an image uint8 (H, W, 3) RGB, darker towards their beginnings; k points in pixels."""
    thick = max(1, round(len(image) / HEIGHT_OF_LINE))
    places = np.rint(tails * (1 << FRACTION)).astype(int)
    steps = places.shape[1] - 1
    for step in range(steps):
        green = (0, round(255 * (step + 2) / (steps + 1)), 0)
        for start, end in zip(places[:, step].tolist(), places[:, step + 1].tolist(), strict=True):
            cv2.line(image, start, end, green, thick, cv2.LINE_AA, FRACTION)
    for end in places[:, -1].tolist():
        cv2.circle(image, end, thick << FRACTION, RED, cv2.FILLED, cv2.LINE_AA, FRACTION)


def draw_trajectories(image: np.ndarray, frame: int, points: np.ndarray, last_frames: np.ndarray) -> None:
    """Draw the trajectories that are under way in a frame, as far as they have come.

    Args:
        image: the frame, uint8 (H, W, 3) RGB.
        frame: its number.
        points: float32 (n, 16, 2), pixels.
        last_frames: int (n,), number of the frame of each one's last point; does not fall.
    """
    for age in range(LENGTH + 1):
        last = frame - age + LENGTH
        first, end = np.searchsorted(last_frames, [last, last + 1])
        if end > first:
            draw(image, points[first:end, : age + 1])


def write_overlay(
    path: Path, frames: Iterable[np.ndarray], count: int, rate: float, points: np.ndarray, last_frames: np.ndarray
) -> None:
    """Write a video with its trajectories drawn on it; odd sides are made even by repeating the last pixels.

    Args:
        path: the file.
        frames: uint8 (H, W, 3), RGB.
        count: their number.
        rate: frames per second.
        points: as for `draw_trajectories`, in pixels of these frames.
        last_frames: the same.

    Raises:
        OSError: the video cannot be written.
    """
    frames = iter(frames)
    first = next(frames)
    odd = first.shape[0] % 2, first.shape[1] % 2
    with video_writer(path, first.shape[1] + odd[1], first.shape[0] + odd[0], rate, count) as video:
        for number, frame in enumerate(chain([first], frames)):
            image = frame.copy()
            draw_trajectories(image, number, points, last_frames)
            video.write(np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge"))
