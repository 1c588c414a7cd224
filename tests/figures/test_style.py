"""Names in any script are drawn in a font that has their letters; where none has, one line says which to install."""

import logging
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image

from stp.figures import style
from stp.figures.plots import save_confusion
from stp.figures.style import styled

HEBREW = "שלום"


def image(stem: Path, name: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_confusion(stem, np.eye(2, dtype=int), [name, "b"], "title")
    return np.asarray(Image.open(stem.with_suffix(".png")).convert("L"))


def test_words_that_the_styles_font_has_change_nothing() -> None:
    with styled(["wave (3)", "Gruß, naïve ±"]):
        assert matplotlib.rcParams["font.family"] == ["serif"]


def test_other_letters_have_a_font_that_has_them_behind_the_styles_own() -> None:
    with styled([HEBREW]):
        own, *others = matplotlib.rcParams["font.family"]
    assert own == "STIXGeneral"
    found = [font_manager.findfont(name) for name in others]
    assert set(HEBREW) <= {chr(code) for path in found for code in font_manager.get_font(path).get_charmap()}
    assert matplotlib.rcParams["font.family"] == ["sans-serif"]


def test_hebrew_is_drawn_as_letters_and_not_as_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = image(tmp_path / "drawn", HEBREW)
    monkeypatch.setattr(style, "_families", lambda letters: ())
    boxes = image(tmp_path / "boxes", HEBREW)
    assert drawn.shape != boxes.shape or not np.array_equal(drawn, boxes)


def test_letters_of_no_font_are_one_line_a_script_that_names_a_package(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "_font_files", lambda: iter([font_manager.findfont("DejaVu Sans")]))
    style._families.cache_clear()
    style._report.cache_clear()
    with caplog.at_level(logging.WARNING, "stp"):
        for name in ("挥手", "手势", "手势 हाथ"):
            image(tmp_path / "figure", name)
    style._families.cache_clear()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "figures show boxes for CJK letters, which no font here has; install one, such as the package fonts-noto-cjk",
        "figures show boxes for DEVANAGARI letters, which no font here has; install one, such as the package "
        "fonts-noto-core",
    ]
