"""The page of tables and figures: names are shown as they are written, whatever they look like to a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from stp.config import Fusion
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.evaluation.markdown import plain_text, table1_notes, table_text
from stp.evaluation.scores import Scores
from stp.figures.page import paper_page
from stp.figures.plots import save_confusion

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

HOSTILE = [
    "[x](javascript:alert(1))",
    "![i](http://example.org/i.png)",
    "[x][1] [1]: http://example.org",
    "..</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "</section></body>",
    "<http://example.org>",
    "<a@example.org>",
    "`code` and ``more``",
    "a|b|c",
    "&amp; &lt;b&gt; &#60;",
    "**bold** *it* _it_ __bold__",
    "a_b_c _d e_",
    "\\[x\\](y) \\ \\\\",
    "# heading",
    "- item",
    "> quote",
    "$title ${body} {x}",
    "<svg/onload=alert(1)>",
    "'\" onmouseover='alert(1)",
    "<style>*{display:none}</style>",
]


def notes(skipped: list[str]) -> list[str]:
    """The notes of Table 1 with these skipped clips."""
    run = RunName("of", "baseline", 1)
    scores = Scores(run, ("a", "b"), ("c",), np.zeros(1, np.int64), np.zeros((1, 1, 2), np.float32))
    return table1_notes([scores], Fusion(), skipped)


def page(folder: Path, name: str) -> str:
    table = pd.DataFrame({"on": [plain_text(name), "x"], "figure": ["1", "2"]})
    (folder / "table.md").write_text(table_text("Table", "Caption.", table, notes([name])), encoding="utf-8")
    save_confusion(folder / "figure", np.eye(2, dtype=int), ["a", "b"], name)
    return paper_page([folder / "table.md", folder / "figure.png"], name, {"explain": {"class": name}})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_wherever_it_stands_on_the_page(name: str, tmp_path: Path, offline: Page) -> None:
    (tmp_path / "paper.html").write_text(page(tmp_path, name), encoding="utf-8")
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    offline.on("dialog", note)
    offline.goto((tmp_path / "paper.html").as_uri())
    assert offline.title() == name
    assert offline.locator("body > h1").inner_text() == name
    assert offline.locator("td").all_inner_texts() == [name, "1", "x", "2"]
    assert f"do not decode: {name}." in offline.locator("li").all_inner_texts()[4]
    assert offline.locator("figcaption").inner_text().startswith(f"Confusion matrix: {name};")
    assert name in str(offline.locator("img").get_attribute("alt"))
    for markup in ("a", "script", "svg", "em", "strong", "code", "blockquote", "body style", "section img"):
        assert offline.locator(markup).count() == 0, markup
    assert offline.locator("img").count() == 1
    assert dialogs == []


def test_markup_in_an_older_table_is_text_too(tmp_path: Path) -> None:
    text = "# T\n\n[x](http://y) ![i](http://z) <b> `c`\n\n[1]: http://y\n"
    (tmp_path / "table.md").write_text(text, encoding="utf-8")
    text = paper_page([tmp_path / "table.md"], "T")
    assert "<p>[x](http://y) ![i](http://z) &lt;b&gt; `c`</p>" in text
    assert "[1]: http://y" in text


def test_lines_of_a_name_are_one_line_and_plain_words_are_left_alone() -> None:
    assert plain_text("a\nb\t c\r\nd") == "a b c d"
    assert plain_text("wave/wave_01 (60 of 93 frames), TSN + x.y-z!") == "wave/wave_01 (60 of 93 frames), TSN + x.y-z!"
    assert plain_text("[x](y) <b> a|b") == "\\[x\\](y) \\<b\\> a\\|b"


def test_an_empty_table_is_no_part_of_a_page(tmp_path: Path) -> None:
    (tmp_path / "table1.md").write_text("\n")
    with pytest.raises(UserError, match=r"table1.md: is empty; make the table again"):
        paper_page([tmp_path / "table1.md"], "title")
