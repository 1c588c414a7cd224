"""The pictures of README and docs, made of the demo's results: docs/images, small enough for a repository.

python docs/pictures.py     # or: make pictures; needs Chromium, for the picture of results/index.html
"""

import shutil
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from scipy.special import softmax

from stp.config import Fusion
from stp.data.shards import ClipFields
from stp.evaluation.scores import fuse, read_scores
from stp.figures.clips import NAMES, flow_fields, full_colour, images
from stp.flow import bound_of

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {  # pixels
    "figures/examples/positive__positive_a00_000.png": 1440,
    "figures/figure3.png": 1000,
    "confusion/rgb+of+wof_baseline.png": 880,
    "confusion/rgb+of+wof_3-level.png": 880,
}
STREAMS = ("rgb", "of", "wof")
CLASSES = ("positive", "passing", "receiving", "pointing")  # their first test clips of fold 1 are shown
SCALE = 2.25  # of the frames in it
CAPTION, GAP, COLUMN, ROW = (
    22,
    6,
    248,
    20,
)  # pixels: above the frames, between them, of the probabilities and their rows
MILLISECONDS = 90  # that a moment is shown: half the speed of the videos
INK, GREY, BAR, PAPER = "#1a1a1a", "#5f5f5f", "#4c8fbd", "#ffffff"
PAGE = 1320, 1240  # pixels of results/index.html that are shown
CHROMIUM = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")


def small_pictures(results: Path, folder: Path) -> None:
    """Figures of the results, scaled down."""
    for name, width in WIDTHS.items():
        with Image.open(results / name) as image:
            height = round(width * image.height / image.width)
            small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        small.save(folder / Path(name).name, optimize=True)


def page_picture(page: Path, path: Path) -> None:
    """The top of the page of results, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        raise SystemExit(f"{path}: no browser, {', '.join(CHROMIUM)}: apt-get install chromium")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found) as browser:
        shown = browser.new_page(viewport={"width": PAGE[0], "height": PAGE[1]}, color_scheme="light")
        shown.goto(page.resolve().as_uri())
        shown.wait_for_timeout(2000)  # until the first frames of videos are there
        shown.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(128).save(path, optimize=True)


def moving_picture(results: Path, path: Path) -> None:
    """Test clips of fold 1 with flow, warped flow and the probabilities that 3 levels of RGB+OF+WOF give them."""
    runs = [read_scores(results / f"runs/{name}/3-level/fold1/seed0/scores.h5") for name in STREAMS]
    fields = {name: ClipFields(results / "clips" / name) for name in STREAMS}
    shares, clips, classes = softmax(fuse(runs, Fusion()), axis=1), runs[0].clips, runs[0].classes
    shown = [next(i for i, clip in enumerate(clips) if clip.startswith(f"{label}/")) for label in CLASSES]
    frames = [
        frame
        for i in shown
        for frame in clip_frames(fields, clips[i], dict(zip(classes, shares[i].tolist(), strict=True)))
    ]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=MILLISECONDS,
        loop=0,
        quality=50,
        method=6,
        minimize_size=True,
    )


def clip_frames(fields: dict[str, ClipFields], clip: str, shares: dict[str, float]) -> list[Image.Image]:
    """A picture for every moment of a clip: its fields side by side, and the probability of each class."""
    flow, length = fields["of"], min(len(stream[clip]) for stream in fields.values())
    places, bound = np.arange(length), bound_of(flow.parameters)
    full = full_colour(flow_fields(flow[clip], places, bound), bound)
    height, width = (round(SCALE * side) for side in flow.shape(clip)[2:])
    canvas = Image.new("RGB", (3 * (width + GAP) + COLUMN, CAPTION + height), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 13)
    for number, name in enumerate(STREAMS):
        draw.text((number * (width + GAP), 2), NAMES[name], INK, font)
    left, label = 3 * (width + GAP) + GAP, clip.split("/")[0]
    draw.text((left, 2), f"class {label}, predicted:", INK, font)
    for row, (name, share) in enumerate(sorted(shares.items(), key=lambda item: -item[1])):
        top = CAPTION + row * ROW
        draw.rectangle((left + 72, top + 3, left + 72 + round(110 * share), top + ROW - 4), BAR)
        draw.text((left, top), name, INK if name == label else GREY, font)
        draw.text((left + 190, top), f"{100 * share:.0f} %", INK if row == 0 else GREY, font)
    panels = [images(stream, clip, places, full) for stream in fields.values()]
    made = []
    for moment in zip(*panels, strict=True):
        frame = canvas.copy()
        for number, panel in enumerate(moment):
            large = Image.fromarray(panel).resize((width, height), Image.Resampling.BICUBIC)
            frame.paste(large, (number * (width + GAP), CAPTION))
        made.append(frame)
    return made


def main() -> None:
    folder = ROOT / "docs/images"
    folder.mkdir(exist_ok=True)
    small_pictures(ROOT / "results", folder)
    moving_picture(ROOT / "results", folder / "demo.webp")
    page_picture(ROOT / "results/index.html", folder / "overview.png")


if __name__ == "__main__":
    main()
