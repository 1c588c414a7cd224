"""Charts as inline SVG, whose colours are classes of the page's style sheet, so that they follow light and dark."""

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

FEW = 10  # most classes for which the cells of a small matrix have room for numbers
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)  # as in the house's figures
DEEP, DEEPEST = 0.6, 0.85  # shares of cells whose figures have to be dark in the dark, and light in the light
LEFT_EDGE, TOP_EDGE = 1.05, 0.7  # of a small matrix, for the codes of its classes, in cells
POINTS = 80  # of a curve, at most
WIDTH, LOSS, ACCURACY, GAP, LEFT = 200, 46, 62, 12, 22  # of a chart of curves, in units of its view box


def shares_of(counts: np.ndarray) -> np.ndarray:
    """A confusion matrix as shares of its rows, 0..1; rows without tests stay 0."""
    totals = counts.sum(1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def class_codes(classes: Sequence[str]) -> list[str]:
    """Short names for the edges of small matrices: three letters of each class, or their numbers where two are equal.

    >>> class_codes(["hand shake", "hug"]), class_codes(["throw ball", "throw stick"])
    (['han', 'hug'], ['1', '2'])
    """
    codes = ["".join(filter(str.isalnum, name))[:3] for name in classes]
    distinct = all(codes) and len({code.casefold() for code in codes}) == len(codes)
    return codes if distinct else [str(number + 1) for number in range(len(classes))]


def confusion_chart(counts: np.ndarray, codes: Sequence[str], words: str) -> Markup:
    """A small confusion matrix, rows the true classes: what is right in one colour, what is confused in another.

    Up to FEW classes the cells have percent, and the edges the codes of the classes; with more the matrix is an image
    of a pixel a cell.
    """
    shares, number = shares_of(counts), len(counts)
    if number > FEW:
        image = np.zeros((number, number, 4), np.uint8)
        image[..., :3] = WRONG
        image[np.arange(number), np.arange(number), :3] = RIGHT
        image[..., 3] = np.rint(255 * np.sqrt(shares))
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "png")
        source = base64.b64encode(buffer.getvalue()).decode()
        return Markup(f'<img class="matrix" src="data:image/png;base64,{source}" alt="{html.escape(words)}">')
    cells = [f'<rect class="frame" width="{number}" height="{number}"/>']
    for place, code in enumerate(map(html.escape, codes)):
        cells.append(f'<text class="code" x="{place + 0.5}" y="-0.2">{code}</text>')
        cells.append(f'<text class="code row" x="-0.15" y="{place + 0.64}">{code}</text>')
    for row, column in np.argwhere(counts):
        share = shares[row, column]
        kind = "right" if row == column else "wrong"
        cells.append(f'<rect class="{kind}" x="{column}" y="{row}" width="1" height="1" fill-opacity="{share:.2f}"/>')
        if share >= 0.005:
            shade = " deep deepest" if share > DEEPEST else " deep" if share > DEEP else ""
            cells.append(f'<text class="cell{shade}" x="{column + 0.5}" y="{row + 0.64}">{100 * share:.0f}</text>')
    return _svg(f"{-LEFT_EDGE} {-TOP_EDGE} {number + LEFT_EDGE} {number + TOP_EDGE}", "matrix", words, cells)


def _svg(box: str, kind: str, words: str, parts: Iterable[str]) -> Markup:
    label = html.escape(words)
    return Markup(f'<svg class="{kind}" viewBox="{box}" role="img" aria-label="{label}">{"".join(parts)}</svg>')


def curves_chart(logs: Sequence[pd.DataFrame], tested: float, chance: float, words: str) -> Markup:
    """Loss and training class accuracy over the epochs, every run thin and their mean bold, and the test accuracy.

    Args:
        logs: of the folds and seeds of an input and variant, a row an epoch: loss, class_accuracy, learning_rate.
        tested, chance: mean class accuracy on the test clips, and that of guessing, in percent.
        words: what the chart shows, for those who do not see it.
    """
    epochs = max(len(log) for log in logs)
    top = max(float(log["loss"].max()) for log in logs) or 1.0
    low = LOSS + GAP
    parts = [
        _rule(0, "0" if top < 10 else "", LOSS),
        _rule(0, f"{top:.2g}", 4),
        *(_rule(0, f"{percent}", low + ACCURACY * (1 - percent / 100)) for percent in (0, 50, 100)),
    ]
    rate = logs[0]["learning_rate"].to_numpy(float)
    for epoch in np.flatnonzero(np.diff(rate) < 0):
        x = _across(epoch + 0.5, epochs)
        parts.append(f'<line class="fall" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{low + ACCURACY}"/>')
    for name, base, height, scale in (("loss", LOSS, LOSS - 4, top), ("class_accuracy", low + ACCURACY, ACCURACY, 1.0)):
        runs = [log[name].to_numpy(float) / scale for log in logs]
        kind = "loss" if name == "loss" else "trained"
        parts += [_line(run, f"{kind} thin", base, height, epochs) for run in runs if len(runs) > 1]
        shortest = min(map(len, runs))
        parts.append(_line(np.mean([run[:shortest] for run in runs], axis=0), kind, base, height, epochs))
    for percent, kind in ((chance, "chance"), (tested, "tested")):
        y = low + ACCURACY * (1 - percent / 100)
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return _svg(f"0 0 {WIDTH} {low + ACCURACY + 3}", "curves", words, parts)


def _rule(x: float, label: str, y: float) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text class="tick" x="{LEFT - 3}" y="{y + 2.5:.1f}">{label}</text>' if label else line


def _across(epoch: float, epochs: int) -> float:
    """The place of an epoch, counted from 0."""
    return LEFT + (WIDTH - LEFT) * (epoch / (epochs - 1) if epochs > 1 else 0.5)


def _line(values: np.ndarray, kind: str, base: float, height: float, epochs: int) -> str:
    """A curve of values 0..1, of POINTS points at most; of a single epoch a short dash."""
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), POINTS)).round().astype(int))
    points = [(_across(place, epochs), base - height * values[place]) for place in places]
    if len(points) == 1:
        (x, y), points = points[0], []
        points = [(x - 3, y), (x + 3, y)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'
