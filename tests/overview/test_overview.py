"""index.html: its figures are those of the csv files, its names are text, it asks for nothing, and it can be used."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from stp.cli import overview as command
from stp.cli import results as tables
from stp.config import Overview
from stp.data.index import read_index, write_index
from stp.data.shards import write_shard
from stp.errors import UserError
from stp.extraction.recipe import frame_parameters
from stp.overview.clips import clip_videos
from stp.overview.page import embedded_json
from stp.video.decoding import examine_video
from tests.figures.test_page import HOSTILE
from tests.overview.results_folder import EACH, RIGHT, RUNS, make_results, write_clip_video

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Locator, Page

CLASSES = ["nod", "shake", "wave"]
EMPTY = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SHAPES = {"rect", "line", "polyline"}


class Parsed(HTMLParser):
    """A page: its attributes by name, and errors of tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in EMPTY:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in EMPTY | SHAPES
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "poster", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with its page and the tables that the page should agree with."""
    folder = make_results(tmp_path_factory.mktemp("overview"), CLASSES)
    scores = sorted(folder.glob("runs/*/*/*/*/scores.h5"))
    tables.statistics(scores, folder / "statistics.csv", folder / "statistics.md", resamples=500)
    tables.differences(scores, folder / "differences.csv", folder / "differences.md")
    tables.confusion([path for path in scores if "/of/3-level/" in str(path)], folder / "confusion/of_3-level")
    command.overview(folder, title="my data", config='{"seed": 3}', resamples=500)
    return folder


def script_data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_page_is_well_formed_and_names_no_other_host(results: Path) -> None:
    page = (results / "index.html").read_text(encoding="utf-8")
    parsed = Parsed(page)
    assert parsed.handlers == []
    assert "default-src 'none'" in page  # nor may a script that somebody adds
    assert [address[:40] for address in parsed.addresses if not address.startswith(("#", "data:"))] == [
        *("differences.csv", "index.csv", "statistics.csv"),
        *(f"confusion/of_3-level{fold}.{kind}" for fold in ("", "_fold1", "_fold2") for kind in ("csv", "pdf")),
        *(f"runs/{run}/log.csv" for run in sorted(map(str, RUNS))),
    ]
    assert "http" not in re.sub(r"data:[a-z/]+;base64,[^\"]*", "", page).replace("http-equiv", "")


def test_figures_are_those_of_the_tables(results: Path) -> None:
    page = (results / "index.html").read_text(encoding="utf-8")
    data = script_data(page)
    statistics = rows(results / "statistics.csv")
    assert [(cell["input"], cell["variant"]) for cell in data["cells"]] == [
        (row["input"], row["variant"]) for row in statistics
    ]
    heat = re.findall(r'data-cell="(\d+)" title="([^"]*)">([\d.]+) ', page)
    assert len(heat) == len(statistics) == 6
    for number, words, accuracy in heat:
        row = statistics[int(number)]
        assert accuracy == f"{float(row['class_accuracy']):.1f}"
        assert f"95 % interval {float(row['low']):.1f} to {float(row['high']):.1f}" in words
    shown = re.findall(r"<tr><td>(\w+)</td><td>([^<]*)</td><td>([^<]*)</td>.*?data-value=\"([^\"]*)\"", page)
    tests = rows(results / "differences.csv")
    assert [(q, first, second, float(p)) for q, first, second, p in shown] == [
        (row["question"], row["first"], row["second"], float(row["p_holm"])) for row in tests
    ]
    matrix = [list(map(int, list(row.values())[1:])) for row in rows(results / "confusion/of_3-level.csv")]
    assert data["cells"][3]["confusion"] == matrix


def test_every_wrong_clip_is_known_with_its_video(results: Path) -> None:
    data = script_data((results / "index.html").read_text(encoding="utf-8"))
    labels = np.array(data["tests"]["label"])
    for (stream, variant), right in RIGHT.items():
        (cell,) = [c for c in data["cells"] if (c["input"], c["variant"]) == (stream.upper(), variant)]
        wrong = np.flatnonzero(np.array(cell["predicted"]) != labels)
        ids = {data["clips"][data["tests"]["clip"][test]] for test in wrong}
        assert ids == {f"{number}/{take}" for number in range(3) for take in range(right, EACH)}
    videos = dict(zip(data["clips"], data["videos"], strict=True))
    assert videos["0/3"] == "videos/0/3%20%231.mp4"  # lies in the results folder
    assert videos["1/3"].startswith("data:video/mp4;base64,")
    assert videos["1/0"] == ""  # always right


def test_previews_are_bounded_in_number_and_size(results: Path, tmp_path: Path) -> None:
    for name, bounds in (("number", {"previews": 2}), ("size", {"megabytes": 0.0001})):
        command.overview(results, output=results / f"{name}.html", resamples=10, **bounds)
    counts = []
    for name in ("number", "size"):
        videos = script_data((results / f"{name}.html").read_text(encoding="utf-8"))["videos"]
        counts.append(sum(video.startswith("data:") for video in videos))
        assert "videos/0/3%20%231.mp4" in videos
        (results / f"{name}.html").unlink()
    assert counts == [2, 0]


def test_a_clip_of_a_long_video_is_shown_and_not_the_whole_video(tmp_path: Path) -> None:
    results = make_results(tmp_path, ("nod", "wave", "sit"))
    index = read_index(results / "index.csv")
    parts = [replace(clip, start=0.0, end=0.2) if clip.clip == "0/3" else clip for clip in index.clips]
    write_index(results / "index.csv", parts)
    command.overview(results, output=results / "index.html", resamples=10)
    data = script_data((results / "index.html").read_text(encoding="utf-8"))
    videos = dict(zip(data["clips"], data["videos"], strict=True))
    assert videos["0/3"].startswith("data:video/mp4;base64,")


@pytest.mark.parametrize("fps", [None, 5])
def test_a_preview_plays_as_fast_as_the_video_whatever_the_rate_of_the_stored_frames(
    fps: int | None, tmp_path: Path
) -> None:
    results = make_results(tmp_path, CLASSES)
    long = tmp_path / "long.mp4"
    write_clip_video(long, 90, rate=12, frames=12)
    known = read_index(results / "index.csv").clips
    clips = [replace(known[3], path=str(long)), replace(known[2], path=str(long), start=0.0, end=1.0)]
    with write_shard(tmp_path / "0.h5", "rgb", frame_parameters(64, 48, fps)) as shard:
        for clip in clips:
            shard.write(clip.clip, np.zeros((fps or 12, 3, 48, 64), np.uint8))
    videos = clip_videos([clip.clip for clip in clips], clips, [tmp_path / "0.h5"], results, Overview())
    assert len(videos) == 2
    for address in videos.values():
        preview = tmp_path / "preview.mp4"
        preview.write_bytes(base64.b64decode(address.partition(",")[2]))
        facts = examine_video(str(preview))
        assert (facts.frames, facts.rate) == (fps or 12, fps or 12)  # a second


def test_times_of_jobs_are_those_that_were_measured(tmp_path: Path) -> None:
    results = make_results(tmp_path, CLASSES)
    texts = {
        "train/b.tsv": "s\tmax_rss\tcpu_time\n60\t512.4\t50\n",
        "train/a.tsv": "s\tmax_rss\tcpu_time\n30\t-\t-\n",
        "train/c.tsv": "",  # of a job that was killed as it wrote
        "table1.tsv": "s\tmax_rss\tcpu_time\n0.2\tNA\tNA\n",
        "metrics.tsv": "",
    }
    for name, text in texts.items():
        path = results / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command.overview(results, resamples=10)
    page = (results / "index.html").read_text(encoding="utf-8")
    table = page[page.index("<summary>Times</summary>") :].partition("</table>")[0]
    assert [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr>")[2:]] == [
        ["train", "2", "90", "50", "512"],
        ["table1", "1", "0", "0", ""],
    ]


def test_a_page_elsewhere_links_back_to_the_results(results: Path, tmp_path: Path) -> None:
    command.overview(results, output=tmp_path / "page.html", resamples=10)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.search(r'href="(\.\./)+[^"]*/statistics.csv"', page)
    assert "videos/0/3" not in page  # no longer below the page


def test_runs_that_are_missing_are_counted_and_the_others_compared(tmp_path: Path) -> None:
    folder = make_results(tmp_path, CLASSES, left_out=["of/3-level/fold2/seed0"])
    command.overview(folder, resamples=10)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "folds and seeds: OF, 3-level (1 run)." in page
    assert "<summary>Names of these runs</summary><ul><li>of/3-level/fold1/seed0</li></ul>" in page
    names = [(cell["input"], cell["variant"]) for cell in script_data(page)["cells"]]
    assert names == [("RGB", "baseline"), ("RGB", "3-level"), ("OF", "baseline"), ("RGB+OF", "baseline")]
    Parsed(page)


@pytest.mark.parametrize("left_out", [[], ["of/3-level/fold2/seed0", "of/baseline/fold2/seed0"]])
def test_learned_fusions_are_shown_once_two_folds_are_complete(left_out: list[str], tmp_path: Path) -> None:
    folder = make_results(tmp_path, CLASSES, left_out=[*left_out, *(run.replace("of", "rgb", 1) for run in left_out)])
    command.overview(folder, learned=True, resamples=10)
    page = (folder / "index.html").read_text(encoding="utf-8")
    names = [cell["input"] for cell in script_data(page)["cells"]]
    assert ("RGB+OF, learned" in names) == (not left_out)
    assert ("Left out: fusions with learned weights" in page) == bool(left_out)
    assert "RGB+OF" in names


def test_one_run_alone_has_a_page_too(tmp_path: Path) -> None:
    folder = make_results(tmp_path, CLASSES)
    only = folder / "runs/rgb/3-level/fold1/seed0/scores.h5"
    (folder / "index.csv").unlink()
    only.with_name("log.csv").unlink()
    command.overview(folder, [only], resamples=10)
    page = (folder / "index.html").read_text(encoding="utf-8")
    Parsed(page)
    assert "fold 1" in page
    assert 'id="training"' not in page


def test_a_folder_without_scores_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with pytest.raises(UserError, match=r"RESULTS: no run in '.*results' has been scored; run the pipeline"):
        command.overview(tmp_path / "results")


def test_json_can_neither_end_its_block_nor_begin_markup() -> None:
    text = "</script><!--<script>&amp;\u2028\u2029"
    embedded = str(embedded_json({text: [text]}))
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded) == {text: [text]}


def test_names_are_text_wherever_they_stand(tmp_path: Path, offline: Page) -> None:
    """Every class has a name that is markup somewhere; so have the title and the config."""
    names = [" ".join(name.split()) for name in HOSTILE]
    folder = make_results(tmp_path, names)
    command.overview(folder, title=HOSTILE[3], config=json.dumps({"x": HOSTILE}), resamples=10)
    Parsed((folder / "index.html").read_text(encoding="utf-8"))
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    offline.on("dialog", note)
    offline.goto((folder / "index.html").as_uri())
    assert offline.title() == HOSTILE[3]
    assert [name.split(" (")[0] for name in offline.locator(".bars .name").all_inner_texts()] == [
        name.split(" (")[0] for name in names
    ]
    assert offline.locator("#label option").all_inner_texts()[1:] == names
    offline.locator("[data-matrix]").first.click()
    assert offline.locator("#matrix tbody th").all_inner_texts() == [f"{name} ({EACH})" for name in names]
    offline.keyboard.press("Escape")
    offline.locator("#label").select_option(str(3))
    assert offline.locator("#wrong strong").first.inner_text() == names[3]
    assert offline.locator("img[src=x], svg[onload], body style, a[href^=http]").count() == 0
    assert dialogs == []


def wrong_of(cell: tuple[str, str]) -> int:
    return 3 * (EACH - RIGHT[cell[0].lower(), cell[1]])


def test_the_page_can_be_used_in_a_browser(results: Path, offline: Page) -> None:
    from playwright.sync_api import expect

    offline.goto((results / "index.html").as_uri())
    shown = offline.locator("#wrong figure")
    offline.locator("[data-cell]", has_text=re.compile("^25.0")).first.click()  # RGB, baseline
    assert (offline.locator("#input").input_value(), offline.locator("#variant").input_value()) == ("RGB", "baseline")
    expect(shown).to_have_count(wrong_of(("RGB", "baseline")))
    offline.locator("#label").select_option(label="shake")
    expect(shown).to_have_count(EACH - 1)
    assert set(offline.locator("#wrong strong").all_inner_texts()) == {"shake"}
    assert set(offline.locator("#wrong em").all_inner_texts()) == {"wave"}
    offline.locator("#predicted").select_option(label="nod")
    expect(shown).to_have_count(0)
    offline.locator("#predicted").select_option("")
    offline.locator("#name").fill("1/2")
    expect(shown).to_have_count(1)
    offline.locator("#variant").select_option("3-level")
    assert "RGB, 3-level: 6 of 12 tests are wrong; 1 of these below." in offline.locator("#count").inner_text()

    offline.locator("#label").select_option("")
    offline.locator("#name").fill("3")
    play(shown.nth(0), offline)  # one is a file, the others are in the page
    for number in range(1, shown.count()):
        play(shown.nth(number), offline)

    sort_and_search(offline)

    opener = offline.locator("[data-matrix]").nth(3)
    opener.focus()
    offline.keyboard.press("Enter")
    expect(offline.locator("#matrix")).to_be_visible()
    offline.locator("#matrix td.wrong button").first.click()  # OF, 3-level: nod taken for shake
    expect(offline.locator("#matrix")).to_be_hidden()
    assert offline.locator("#wrong strong").all_inner_texts() == ["nod"]

    before = offline.locator(".bars .row").first.inner_text()
    offline.locator("#first").select_option("0")
    offline.locator("#second").select_option("1")
    assert offline.locator(".bars .row").first.inner_text() != before
    assert "50" in offline.locator(".bars .row .values .second").first.inner_text()


def play(figure: Locator, page: Page) -> None:
    """Start a clip by its button, and see it run and stop."""
    figure.locator("button").press("Enter")
    video = figure.locator("video").element_handle()
    page.wait_for_function("video => video.currentTime > 0.05 && !video.paused", arg=video)
    figure.locator("button").click()
    page.wait_for_function("video => video.paused", arg=video)


def sort_and_search(page: Page) -> None:
    """The table of tests: a click on a heading sorts, another one turns round, words filter."""
    table = page.locator("#differences-table")
    page.locator("#question").select_option("")
    cells = "[...table.querySelectorAll('tbody tr:not([hidden]) td:nth-child(4)')]"
    figures = f"table => {cells}.map(cell => +cell.innerText)"
    table.get_by_role("button", name="Difference").click()
    values = table.evaluate(figures)
    assert values == sorted(values)
    assert len(set(values)) > 1
    table.get_by_role("button", name="Difference").click()
    assert table.evaluate(figures) == sorted(values, reverse=True)
    page.locator('[data-search="differences-table"]').fill("rgb+of baseline")
    assert 0 < len(table.evaluate(figures)) < len(values)
    page.locator("#question").select_option("levels")
    assert len(table.evaluate(figures)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_telephone_in_light_and_dark(scheme: str, results: Path, offline: Page) -> None:
    offline.set_viewport_size({"width": 400, "height": 800})
    offline.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    offline.goto((results / "index.html").as_uri())
    assert offline.evaluate("document.documentElement.scrollWidth") <= 400
    background, ink = offline.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    brightness = [sum(map(int, re.findall(r"\d+", colour))) for colour in (background, ink)]
    assert (brightness[0] > brightness[1]) == (scheme == "light")


SCROLLERS = """[...document.querySelectorAll("body *")].filter((one) =>
  one.scrollWidth > one.clientWidth && getComputedStyle(one).overflowX === "auto")"""


@pytest.mark.parametrize("width", [400, 820])
def test_what_scrolls_sideways_can_be_scrolled_by_keys_and_is_named(width: int, results: Path, offline: Page) -> None:
    offline.set_viewport_size({"width": width, "height": 800})
    offline.goto((results / "index.html").as_uri())
    offline.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    regions = offline.locator(".scroll")
    assert regions.evaluate_all("all => all.every((one) => one.role === 'region' && one.ariaLabel && !one.tabIndex)")
    kinds = offline.evaluate(f"{SCROLLERS}.map((one) => one.tagName === 'NAV' || one.classList.contains('scroll'))")
    assert all(kinds)
    assert len(kinds) >= (3 if width == 400 else 1)
    table = offline.locator("#differences-table")
    table.focus()
    if width == 400:
        offline.keyboard.press("ArrowRight")
        offline.wait_for_function("() => document.activeElement.scrollLeft > 0")


def edge_colours(page: Page, region: Locator) -> list[set[tuple[int, ...]]]:
    """The colours beside the left and right edge of what is seen of a region, 2 pixels inside."""
    image = np.asarray(Image.open(io.BytesIO(region.screenshot(animations="disabled"))).convert("RGB"))
    return [set(map(tuple, image[60:-40, place].tolist())) for place in (2, -3)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_edge_is_shaded_where_there_is_more(scheme: str, results: Path, offline: Page) -> None:
    offline.set_viewport_size({"width": 400, "height": 800})
    offline.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    offline.goto((results / "index.html").as_uri())
    red, green, blue = offline.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    page_colour = (red, green, blue)
    region = offline.locator("#differences-table")
    left, right = edge_colours(offline, region)
    assert page_colour in left
    assert page_colour not in right
    region.evaluate("one => one.scrollTo({left: 10000, behavior: 'instant'})")
    left, right = edge_colours(offline, region)
    assert page_colour not in left
    assert page_colour in right
    offline.set_viewport_size({"width": 1400, "height": 800})  # where everything has room
    assert all(page_colour in edge for edge in edge_colours(offline, region))


def test_small_matrices_name_their_classes(results: Path, tmp_path: Path, offline: Page) -> None:
    offline.goto((results / "index.html").as_uri())
    first = offline.locator("svg.matrix").first
    assert [text.text_content() for text in first.locator(".code.row").all()] == ["nod", "sha", "wav"]
    assert offline.locator(".codes").inner_text().split() == ["nod", "nod", "sha", "shake", "wav", "wave"]
    many = make_results(tmp_path, [f"class {number}" for number in range(11)])
    command.overview(many, resamples=10)
    offline.goto((many / "index.html").as_uri())
    offline.get_by_text("The 11 classes, from top to bottom and from left to right").click()
    assert offline.locator("ol.codes li").all_inner_texts() == [f"class {number}" for number in range(11)]


def test_what_is_said_of_runs_is_explained_beside_their_number(results: Path, offline: Page) -> None:
    """Some runs of this folder are at chance: they recognise one clip of four."""
    offline.goto((results / "index.html").as_uri())
    (card,) = [text for text in offline.locator(".card").all_inner_texts() if text.startswith("Training health")]
    well, of = map(int, re.findall(r"(\d+) of (\d+)\s+runs are well", card)[0])
    offline.locator("#training a[href='#health']").click()
    table = offline.get_by_role("region", name="Runs that are not well")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == of - well > 0
    said = set(table.locator("td:nth-child(4)").all_inner_texts())
    assert said <= set(offline.locator("#health dt").all_inner_texts())


def test_pictures_stand_on_a_card_in_the_dark(results: Path, offline: Page) -> None:
    figures = results / "figures"
    figures.mkdir()
    Image.new("RGB", (300, 200), "white").save(figures / "figure3.png")
    command.overview(results, output=results / "pictures.html", resamples=10)
    offline.emulate_media(color_scheme="dark")
    offline.goto((results / "pictures.html").as_uri())
    shot = np.asarray(Image.open(io.BytesIO(offline.locator("#figures img").screenshot())).convert("L"))
    assert 150 < shot[len(shot) // 2, shot.shape[1] // 2] < 235  # light, but it does not glare
    style = "one => [getComputedStyle(one).paddingLeft, getComputedStyle(one).borderRadius].map(parseFloat)"
    assert min(offline.locator("#figures img").evaluate(style)) > 4
    (results / "pictures.html").unlink()
    (figures / "figure3.png").unlink()
    figures.rmdir()


def test_on_paper_everything_is_open_and_controls_are_gone(results: Path, offline: Page) -> None:
    offline.goto((results / "index.html").as_uri())
    offline.emulate_media(media="print")
    offline.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert offline.locator("details:not([open])").count() == 0
    assert not offline.locator(".controls").first.is_visible()
    assert not offline.locator("#clips").is_visible()
    assert offline.locator(".heat").is_visible()
    offline.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert offline.locator("details:not([open])").count() > 0
