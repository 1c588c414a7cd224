"""Small confusion matrices: their edges name the classes, and the figures of their cells can be read."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stp.overview.charts import FEW, class_codes, confusion_chart

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.parametrize(
    ("classes", "codes"),
    [
        (["hand shake", "hug", "point"], ["han", "hug", "poi"]),
        (["throw ball", "throw stick"], ["1", "2"]),  # the same letters
        (["Nod", "nods"], ["1", "2"]),
        (["nod", "--"], ["1", "2"]),  # no letters
        (["0_a", "1_b"], ["0a", "1b"]),
        (["<b>", "&amp;"], ["b", "amp"]),
    ],
)
def test_codes_are_letters_where_these_tell_the_classes_apart(classes: list[str], codes: list[str]) -> None:
    assert class_codes(classes) == codes


def test_rows_and_columns_of_a_small_matrix_are_named_in_order() -> None:
    codes = ["han", "hug", "poi"]
    chart = str(confusion_chart(np.diag([3, 2, 1]), codes, "words"))
    across = re.findall(r'class="code" x="([\d.]+)" y="-[\d.]+">(\w+)<', chart)
    down = re.findall(r'class="code row" x="-[\d.]+" y="([\d.]+)">(\w+)<', chart)
    assert [code for _, code in across] == [code for _, code in down] == codes
    for places in (across, down):  # each beside its own row or column
        assert [int(float(place)) for place, _ in places] == [0, 1, 2]
    left, top, width, height = (float(number) for number in re.findall(r'viewBox="([^"]*)"', chart)[0].split())
    assert left < 0 > top
    assert (left + width, top + height) == pytest.approx((3, 3))


def test_a_large_matrix_is_an_image() -> None:
    number = FEW + 1
    chart = str(confusion_chart(np.eye(number, dtype=int), class_codes(list("abcdefghijk")), "words"))
    assert chart.startswith('<img class="matrix"')


def luminance(colour: np.ndarray) -> float:
    """Relative luminance (WCAG 2) of an sRGB colour 0..255, float (3,)."""
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_stand_out_from_their_cells(scheme: str, offline: Page) -> None:
    """Of all shares and both colours the contrast is 4 at least, in light and dark."""
    matrices = [np.array([[part, 20 - part], [20 - part, part]]) for part in range(21)]
    charts = "".join(confusion_chart(matrix, ["a", "b"], "words") for matrix in matrices)
    style = files("stp.overview").joinpath("templates/style.css").read_text(encoding="utf-8")
    offline.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    offline.set_content(f"<style>{style}</style><body>{charts}")
    read = """text => [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill,
      getComputedStyle(text.previousSibling).fill, text.previousSibling.getAttribute("fill-opacity")]"""
    for text in offline.locator(".matrix .cell").all():
        *colours, share = text.evaluate(read)
        page, ink, cell = (np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) for colour in colours)
        ground = page + float(share) * (cell - page)
        bright, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4, share
