"""Overlays: a video with its most probable classes and bars of their probabilities drawn on every frame."""

import logging
from pathlib import Path

import cv2
import numpy as np

from stp.predict.videos import VideoPrediction
from stp.video.decoding import decode
from stp.video.writing import video_writer

log = logging.getLogger("stp")
FONT = cv2.FONT_HERSHEY_SIMPLEX
MICROSECONDS = 6  # decimals of a second
BARS = 3  # classes shown
HEIGHT_OF_SCALE_1 = 560  # pixels; height of a frame on which OpenCV's letters of scale 1 have the right size
SMALLEST_SCALE = 0.4  # gives letters of 9 pixels
NAME_SHARE = 0.5  # largest share of the width that names may take
PANEL_SHARE = 0.3  # share of the video's brightness that is left behind the letters
WHITE, GREY, BAR = (255, 255, 255), (170, 170, 170), (255, 200, 80)


def nearest_window(prediction: VideoPrediction, frame: int) -> int:
    """Number of the window with its middle nearest to that of a video's frame; the earlier one if two are as near."""
    start, end = prediction.facts.times[frame : frame + 2]
    middles = np.array([sum(prediction.times(window)) / 2 for window in prediction.windows])
    return int(np.abs(middles - (start + end) / 2).round(MICROSECONDS).argmin())


def drawable(text: str) -> str:
    """The text with a question mark in place of every letter that OpenCV's fonts lack."""
    return "".join(letter if letter.isascii() else "?" for letter in text)


def draw(image: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...], title: str = "") -> None:
    """Draw the most probable classes in the upper left corner of an image, uint8 RGB (H, W, 3).

    The letters grow with the image, as long as the longest name leaves room for the bars beside it.
    """
    height, width = image.shape[:2]
    names = [drawable(name) for name in (*classes, title)]
    longest = max(cv2.getTextSize(name, FONT, 1.0, 1)[0][0] for name in names)
    scale = min(max(SMALLEST_SCALE, height / HEIGHT_OF_SCALE_1), NAME_SHARE * width / longest)
    thick = max(1, round(1.6 * scale))
    step, margin, percent = round(34 * scale), round(12 * scale), round(80 * scale)
    letters = max(cv2.getTextSize(name, FONT, scale, thick)[0][0] for name in names)
    left = letters + 2 * margin
    bar = max(1, min(round(180 * scale), width - left - margin - percent))

    def write(text: str, x: int, row: int, colour: tuple[int, int, int]) -> None:
        cv2.putText(image, text, (x, row * step), FONT, scale, colour, thick, cv2.LINE_AA)

    best = probabilities.argsort(kind="stable")[::-1][:BARS]
    above = bool(title)
    panel = image[: (len(best) + above) * step + margin, : left + bar + margin + percent]
    panel[:] = (panel * PANEL_SHARE).astype(np.uint8)
    if title:
        write(names[-1], margin, 1, GREY)
    for row, i in enumerate(best, start=1 + above):
        top, bottom, filled = row * step - round(20 * scale), row * step, round(bar * float(probabilities[i]))
        write(names[i], margin, row, WHITE)
        cv2.rectangle(image, (left, top), (left + bar, bottom), GREY, 1)
        cv2.rectangle(image, (left, top), (left + filled, bottom), BAR, cv2.FILLED)
        write(f"{probabilities[i]:.0%}", left + bar + margin, row, WHITE)


def write_overlay(path: Path, prediction: VideoPrediction, classes: tuple[str, ...]) -> None:
    """Write the video with its prediction drawn on it; in a timeline, each frame shows its nearest window.

    Sound is left out. Odd sides are made even by repeating the last row or column.
    """
    facts = prediction.facts
    odd = facts.height % 2, facts.width % 2
    size = facts.width + odd[1], facts.height + odd[0]
    timeline = len(prediction.windows) > 1
    if lacking := "".join(sorted({letter for name in classes for letter in name if drawable(letter) != letter})):
        log.warning("%s: letters that OpenCV's fonts lack are drawn as ?: %s", path, lacking)
    with video_writer(path, *size, facts.rate, facts.frames) as video:
        for number, frame in enumerate(decode(str(prediction.path), facts.width, facts.height)):
            image = np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
            window = nearest_window(prediction, number)
            start, end = prediction.times(prediction.windows[window])
            title = f"{start:.1f} - {end:.1f} s" if timeline else ""
            draw(image, prediction.probabilities[window], classes, title)
            video.write(image)
