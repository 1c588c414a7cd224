"""README is short: how much there is to read before the line to type, and the figures that it takes from elsewhere."""

import pkgutil
import re
from pathlib import Path

import pytest

from stp import methods

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NO_METHODS = {"network", "shallow", "joint", "pyramid", "aligned"}  # families, and the pyramids


def words_before(line: str, document: str = README) -> int:
    """Words of prose above the first line of code that begins so: no code, pictures, tables or targets of links."""
    text = document[: re.search(rf"^    {re.escape(line)}", document, re.MULTILINE).start()]  # type: ignore[union-attr]
    text = re.sub(r"^```.*?^```|^(?:    |\|)[^\n]*|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.MULTILINE | re.DOTALL)
    return len(re.findall(r"\w[\w.'/-]*", re.sub(r"\]\([^)]*\)", "]", text)))


@pytest.mark.parametrize(
    ("line", "most"),
    [
        *(("make table1", 60), ("stp init videos", 150), ("stp predict", 250)),
        *(("stp run config/pev.yaml ", 350), ("stp run config/pev.yaml --profile slurm", 450)),
    ],
)
def test_the_line_to_type_comes_soon(line: str, most: int) -> None:
    assert 0 < words_before(line) <= most


def test_words_are_counted_as_a_reader_would() -> None:
    document = "# A title\n\n![no words](a.png)\n\nTwo [words](b.md), `code`:\n\n| a |\n\n    x y\n\nMore.\n\n    z\n"
    assert words_before("x", document) == 5
    assert words_before("z", document) == 6


def test_readme_is_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 150


def test_the_moving_picture_is_small() -> None:
    assert (ROOT / "docs/images/demo.webp").stat().st_size < 2**20


def test_the_number_of_other_methods_is_true() -> None:
    number = re.search(r"and (\d+) other methods", README)
    assert number
    assert int(number[1]) == len({item.name for item in pkgutil.iter_modules(methods.__path__)} - NO_METHODS)
