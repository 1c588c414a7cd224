"""Figures of few and many classes, and the page that holds them."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from stp.errors import UserError
from stp.figures import plots as figures
from stp.figures.page import paper_page
from stp.system.versions import versions
from stp.training.log import LOG_COLUMNS, read_log, write_log
from tests.damage import flipped


def log(epochs: int, offset: float = 0.0) -> pd.DataFrame:
    rate = [0.1] * (epochs // 2) + [0.01] * (epochs - epochs // 2)
    values = np.linspace(0.2, 0.9, epochs) - offset
    columns = {"epoch": range(1, epochs + 1), "loss": 1 - values, "accuracy": values, "class_accuracy": values / 2}
    return pd.DataFrame(columns | {"learning_rate": rate})


def draw_all(folder: Path, number: int) -> list[Path]:
    """Every kind of figure for so many classes; the stems."""
    rng = np.random.default_rng(number)
    names = [f"class {i}" for i in range(number)]
    counts = rng.integers(10, 30) * np.eye(number, dtype=int)
    counts[0, -1] += 3
    figures.save_confusion(folder / "confusion", counts, names, "RGB, baseline")
    middle = {"TSN": rng.uniform(10, 90, number), "Proposed": np.where(np.arange(number), 50.0, np.nan)}
    shares = {name: np.stack([values, values - 9, values + 5], axis=1) for name, values in middle.items()}
    figures.save_class_accuracies(folder / "classes", shares, names, counts.sum(1))
    for methods in (5, 19):
        several = {f"two_stream_fusion_{k:02}, RGB+OF+WOF": shares["TSN"] for k in range(methods)}
        figures.save_class_accuracies(folder / f"classes_{methods}", several, names, counts.sum(1))
    figures.save_curves(folder / "curves", [log(number), log(number, 0.1)], "OF, 3-level")
    return [folder / name for name in ("confusion", "classes", "classes_5", "classes_19", "curves")]


def size_in_inches(path: Path) -> tuple[float, float]:
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        return image.width / 300, image.height / 300


@pytest.mark.parametrize("number", [1, 7, 51])
def test_figures_fit_a_page(tmp_path: Path, number: int) -> None:
    before = plt.get_fignums()
    for stem in draw_all(tmp_path, number):
        width, height = size_in_inches(stem.with_suffix(".png"))
        assert width <= 7.5
        assert height <= 9.6
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert plt.get_fignums() == before


def test_figures_repeat_and_carry_caption_and_versions(tmp_path: Path) -> None:
    for first, second in zip(draw_all(tmp_path / "a", 3), draw_all(tmp_path / "b", 3), strict=True):
        for suffix in (".png", ".pdf"):
            assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()
        with Image.open(first.with_suffix(".png")) as image:
            assert image.info["Title"]
            assert json.loads(image.info["Description"]) == {"versions": versions()}


def test_cells_have_percent_and_counts_for_few_classes_and_percent_for_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[list[str]] = []

    def keep(stem: Path, figure: plt.Figure, caption: str) -> None:
        texts.append([text.get_text() for text in figure.axes[0].texts])

    monkeypatch.setattr(figures, "save_figure", keep)
    counts = np.array([[3, 1], [0, 0]])
    figures.save_confusion(tmp_path / "few", counts, ["a", "b"], "")
    many = np.zeros((40, 40), dtype=int)
    many[:2, :2] = [[999, 1], [3, 1]]
    figures.save_confusion(tmp_path / "many", many, [str(i) for i in range(40)], "")
    assert texts == [["75\n(3)", "25\n(1)"], ["100", "75", "25"]]
    plt.close("all")


@pytest.mark.parametrize("classes", [2, 16])
def test_more_methods_than_bars_have_room_for_are_a_map_of_accuracies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    drawn: list[plt.Figure] = []
    monkeypatch.setattr(figures, "save_figure", lambda stem, figure, caption: drawn.append(figure))
    share = np.repeat(np.arange(classes, dtype=float)[:, None], 3, axis=1)
    share[1] = np.nan  # a class without clips
    shares = {name: share + 10 * place for place, name in enumerate("ABCDEF")}
    names = [f"class {i}" for i in range(classes)]
    figures.save_class_accuracies(tmp_path / "map", shares, names, np.full(classes, 3))
    axes = drawn[0].axes[0]
    down, across = ([label.get_text() for label in axis.get_ticklabels()] for axis in (axes.yaxis, axes.xaxis))
    cells = {}
    for text in axes.texts:
        column, row = text.get_position()
        cells[frozenset((down[int(row)], across[int(column)]))] = text.get_text()
    plt.close(drawn[0])
    methods, numbered = [*"ABCDEF"], [f"{name} (3)" for name in names]
    assert (down, across) == ((methods, numbered) if classes == 2 else (numbered, methods))
    with_clips = [place for place in range(classes) if place != 1]
    expected = {(m, c): str(c + 10 * m) for m in range(6) for c in with_clips}
    assert cells == {frozenset((methods[m], numbered[c])): share for (m, c), share in expected.items()}


def test_the_legend_of_curves_hides_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[plt.Figure] = []
    monkeypatch.setattr(figures, "save_figure", lambda stem, figure, caption: drawn.append(figure))
    for epochs in (1, 30):
        figures.save_curves(tmp_path / "curves", [log(epochs), log(epochs, 0.1)], "OF, 3-level")
    for figure in drawn:
        figure.draw_without_rendering()
        (legend,) = (found for axes in figure.axes if (found := axes.get_legend()) is not None)
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.bbox) for axes in figure.axes)
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)
        assert not box.overlaps(figure._suptitle.get_window_extent())  # type: ignore[attr-defined]
        plt.close(figure)


def test_axes_of_a_confusion_matrix_say_what_they_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []

    def keep(stem: Path, figure: plt.Figure, caption: str) -> None:
        words.extend(
            (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel(), figure.axes[0].child_axes[0].get_ylabel())
        )
        plt.close(figure)

    monkeypatch.setattr(figures, "save_figure", keep)
    figures.save_confusion(tmp_path / "confusion", np.eye(2, dtype=int), ["a", "b"], "RGB")
    assert words == ["predicted class", "true class (its test clips)", "% of the true class's test clips"]


def log_cells(epoch: str, loss: str) -> list[str]:
    return [epoch, loss, *("1" for _ in LOG_COLUMNS[2:])]


def test_logs_are_read_with_all_columns(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(",".join(LOG_COLUMNS) + "\n" + ",".join("1" for _ in LOG_COLUMNS) + "\n")
    assert list(read_log(tmp_path / "log.csv").columns) == list(LOG_COLUMNS)
    (tmp_path / "old.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(UserError, match=r"old.csv: column accuracy, learning_rate, .* is missing; train the run again"):
        read_log(tmp_path / "old.csv")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.50000", "0.90000", r"line 3 \('2'\) was changed after it was written; train the run again"),
        ("0.50000", "0.5x", r"line 3 \('2'\) was changed"),
        ("0.50000", "0.5,1", "line 3 has 10 cells"),
        ("loss", "lose", "column loss is missing"),
        ("epoch", "\xff", "column epoch is missing"),
    ],
)
def test_a_damaged_log_is_one_line(tmp_path: Path, old: str, new: str, reason: str) -> None:
    write_log(tmp_path / "log.csv", [log_cells("1", "0.75"), log_cells("2", "0.50000")])
    assert read_log(tmp_path / "log.csv")["loss"].tolist() == [0.75, 0.5]
    text = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=f"log.csv: {reason}"):
        read_log(tmp_path / "log.csv")


@pytest.mark.parametrize(("loss", "epoch"), [("nan", "1"), ("inf", "1"), ("", "1"), ("1", "2")])
def test_a_log_of_no_numbers_or_without_an_epoch_is_refused(tmp_path: Path, loss: str, epoch: str) -> None:
    write_log(tmp_path / "log.csv", [log_cells(epoch, loss)])
    with pytest.raises(UserError, match=r"log.csv: line 2: (loss|epoch) cannot be"):
        read_log(tmp_path / "log.csv")


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(flipped(content, 8 * (content.index(b"IDAT") + 10)))
    with pytest.raises(UserError, match=r"a.png: not a png, or damaged; make the figure again"):
        paper_page([tmp_path / "a.png"], "")


def test_page_holds_everything_and_asks_for_nothing(tmp_path: Path) -> None:
    stem = draw_all(tmp_path, 3)[0]
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    table = tmp_path / "table1.md"
    table.write_text("# Table 1\n\nWords <b>.\n\n| a & b | c |\n|:--|:--|\n| 1 | $x |\n\n- first\n- second\n")
    paths = [table, stem.with_suffix(".png"), tmp_path / "plain.png"]
    page = paper_page(paths, "demo & more", {"path": "</pre><script>"})
    assert re.findall(r"<(?:script|link|iframe)", page) == []
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page) == []
    assert "<title>demo &amp; more</title>" in page
    assert "<h1>Table 1</h1>" in page
    assert "<td" in page
    assert "a &amp; b" in page
    assert "Words &lt;b&gt;." in page
    assert page.count("<li>") == 2
    assert "$x" in page
    assert "Confusion matrix: RGB, baseline; rows are true classes" in page
    assert "<figcaption>plain</figcaption>" in page
    assert page.index("Table 1") < page.index("Confusion") < page.index("plain")
    (tmp_path / "plain.png").write_text("nothing")
    with pytest.raises(UserError, match=r"plain.png: not a png, or damaged; make the figure again"):
        paper_page(paths, "", {})
    with pytest.raises(UserError, match=r"neither a table \(.md\) nor a figure \(.png\)"):
        paper_page([tmp_path / "confusion.pdf"], "", {})


def test_config_ends_a_page_and_is_unfolded_where_it_stands_alone() -> None:
    assert "<details open>" in paper_page([], "demo", {"seed": 3})
    assert "&quot;seed&quot;: 3" in paper_page([], "demo", {"seed": 3})
    assert "Config" not in paper_page([], "demo")


def test_names_with_dollars_are_written_as_they_are(tmp_path: Path) -> None:
    figures.save_confusion(tmp_path / "c", np.eye(2, dtype=np.int64), ("$_{", "$x$"), "$5_to_$10")
    assert (tmp_path / "c.png").is_file()
