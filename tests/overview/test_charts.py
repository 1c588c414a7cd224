"""Small confusion matrices: their edges name the classes."""

import re

import numpy as np
import pytest

from stp.overview.charts import FEW, class_codes, confusion_chart


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
