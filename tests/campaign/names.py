"""Hostile names of classes and clips: taken or refused in a line, and on pages nothing but text."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stp.data.index import read_index
from stp.data.run_name import RunName
from stp.evaluation.scores import Scores, write_scores
from tests.campaign.case import RIGHT, SKIPPED, Case, Verdict, shown
from tests.campaign.clips import write_plain
from tests.campaign.command import ROOT, Ended, Launcher, crash, refusal
from tests.campaign.results import RUNS, SIZE

if TYPE_CHECKING:  # playwright is imported where there is one
    from playwright.sync_api import Dialog, Page

NAMES: dict[str, bytes] = {
    "script": b"<script>alert(1)<_script>",
    "script end": b"..<__script><img src=x onerror=alert(1)>",
    "image": b"<img src=x onerror=alert(1)>",
    "link": b"[x](javascript:alert(1))",
    "picture": b"![i](http:example.invalid)",
    "reference": b"[x]: http:example.invalid",
    "address": b"<http:example.invalid>",
    "quotes": b"\"it's\" `so` \\ ''",
    "line end": b"one\ntwo",
    "wildcard": b"{wildcard} {clip} {}",
    "percent": b"%s %d %(name)s 100%25",
    "shell": b"$(touch executed); `touch executed` | touch executed &",
    "dash": b"--output",
    "long": b"n" * 240,
    "long letters": "动".encode() * 80,
    "right to left": "a\u202egnp.exe\u200f".encode(),
    "scripts": "动作 שלום नमस्ते".encode(),
    "bytes": b"caf\xe9 \xff\xfe",
    "blanks": b" leading and trailing ",
    "markdown": b"| a | *b* _c_ #d ~e~ &lt; &amp; &#60;",
    "dots": b"..a..b..",
    "control": b"bell\x07 escape\x1b[31m",
    "surrogate": "emoji \U0001f600 combining e\u0301".encode(),
    "formula": b'=cmd,1;"2"\t+3',
}
HARMLESS = b"harmless"
DANGEROUS = {"script", "a", "img", "iframe", "link", "object", "embed", "form", "svg", "base", "meta", "style"}
BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "google-chrome-stable")


def cases(results: Path, seed: int) -> list[Case]:
    """Each name as that of a class, of a clip, and of files given to `stp flow`; and as written on pages."""
    found = [
        Case(f"names/{name}/{use}", USES[use](f"names/{name}/{use}", raw))
        for name, raw in NAMES.items()
        for use in USES
    ]
    return [*found, Case("names/chromium", chromium)]


def make_videos(folder: Path, label: bytes, clip: bytes) -> None:
    """Four videos of two classes, the second called `label` and with a clip called `clip`."""
    for name in (b"plain", label):
        for number in (b"1", clip):
            path = os.fsencode(folder) + b"/" + name + b"/" + number + b".avi"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_plain(Path(os.fsdecode(path)))


def as_class(case: str, raw: bytes) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Index, frames, pictures and folds of a class of this name."""
    return lambda launcher, folder: pipeline(case, launcher, folder, raw, b"2")


def as_clip(case: str, raw: bytes) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Index, frames, pictures and folds of a clip of this name."""
    return lambda launcher, folder: pipeline(case, launcher, folder, b"other", raw)


def pipeline(case: str, launcher: Launcher, folder: Path, label: bytes, clip: bytes) -> Iterator[Verdict]:
    """From videos to pictures, as far as the name is taken."""
    hostile = os.fsdecode(clip if label == b"other" else label)
    make_videos(folder / "videos", label, clip)
    index = ["index", "videos", "-o", "index.csv", "--skipped", "skipped.csv"]
    ended = launcher.stp(*index, cwd=folder)
    if crash(ended) or ended.code:
        yield Verdict(case, refusal(ended, *shortened(hostile)) or RIGHT, shown(ended))
        return
    clips = {item.clip for item in read_index(folder / "index.csv").clips}
    if f"{os.fsdecode(label)}/{os.fsdecode(clip)}" not in clips:
        if hostile.startswith("."):  # a hidden file, as systems make them
            yield Verdict(case, RIGHT, "hidden")
            return
        yield Verdict(case, "unnoticed", f"{clips} lack the name: {shown(ended)}")
        return
    for words in (
        ["init", "videos", "-o", "own.yaml"],
        ["frames", "index.csv", *SIZE, "-o", "rgb.h5"],
        ["splits", "index.csv", "fold1.csv", "fold2.csv"],
        ["examples", "index.csv", "rgb.h5", "--number", 2, "-o", "examples"],
    ):
        ended = launcher.stp(*words, cwd=folder)
        if crash(ended) or ended.code:
            yield Verdict(case, crash(ended) or "refused", shown(ended))
            return
    yield Verdict(case, "unnoticed" if executed(folder) else RIGHT, shown(ended))


def shortened(name: str) -> list[str]:
    """Words by which a message may name a name: as it is, escaped, or its class of problem."""
    return [name, ascii(name).strip("'\""), repr(name).strip("'\""), name[:60], "name", "id"]


def executed(folder: Path) -> bool:
    """True if a shell has run the name."""
    return any(folder.rglob("executed"))


def as_flow(case: str, raw: bytes) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Flow of a video of this name."""

    def run(launcher: Launcher, folder: Path) -> Iterator[Verdict]:
        make_videos(folder / "videos", b"other", raw)
        path = os.fsencode(folder) + b"/videos/other/" + raw + b".avi"
        ended = launcher.stp("flow", path, "-o", "flow", "--format", "npy", cwd=folder)
        if crash(ended) or ended.code:
            yield Verdict(case, refusal(ended, *shortened(os.fsdecode(raw))) or RIGHT, shown(ended))
        else:
            made = list((folder / "flow").rglob("*.npy"))
            yield Verdict(case, RIGHT if len(made) == 1 else "unnoticed", f"{made}: {shown(ended)}")

    return run


def on_pages(case: str, raw: bytes) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Tables and pages of scores of classes and clips of this name."""

    def run(launcher: Launcher, folder: Path) -> Iterator[Verdict]:
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            yield Verdict(case, SKIPPED, "names that are not UTF-8 cannot be in an index")
            return
        pages = {}
        for kind, word in (("harmless", HARMLESS.decode()), ("hostile", name)):
            (folder / kind).mkdir()
            ended = make_pages(launcher, folder / kind, word)
            if ended:
                yield Verdict(case, crash(ended) or "refused", shown(ended))
                return
            pages[kind] = Parsed((folder / kind / "paper.html").read_text(encoding="utf-8"))
        hostile, harmless = pages["hostile"], pages["harmless"]
        if more := hostile.tags - harmless.tags:
            yield Verdict(case, "unnoticed", f"the name becomes {dict(more)} in paper.html")
        elif squeezed(name) not in squeezed(hostile.text):
            yield Verdict(case, "different", f"the text of paper.html lacks {name!r}")
        else:
            yield Verdict(case, "unnoticed" if executed(folder) else RIGHT)

    return run


def make_pages(launcher: Launcher, folder: Path, name: str, figures: bool = True) -> Ended | None:
    """Tables, figures and paper.html of a class and a skipped clip of a name; the command that failed, or None."""
    make_scores(folder, name)
    scores = [f"{run}.h5" for run in score_names()]
    (folder / "skipped.csv").write_text(f"clip,path,reason\n{quoted(name)},{quoted(name)},{quoted(name)}\n")
    shutil.copy(ROOT / "config/reported/table2.csv", folder / "reported.csv")
    reported, skipped = ["--reported", "reported.csv"], ["--skipped", "skipped.csv", "--long", "long.csv"]
    drawn = [["confusion", *scores, "-o", "confusion"], ["classes", *scores, *reported, "-o", "classes"]]
    shown = ["table1.md", "metrics.md", "table2.md", *(["confusion.png"] if figures else [])]
    for words in (
        ["table1", *scores, *skipped, "-o", "table1.csv", "--text", "table1.md"],
        ["metrics", *scores, "-o", "metrics.csv", "--text", "metrics.md"],
        ["comparison", *scores, *reported, f"--data={name}", "-o", "table2.csv", "--text", "table2.md"],
        *(drawn if figures else []),
        ["paper", *shown, f"--title={name}", "-o", "paper.html"],
    ):
        ended = launcher.stp(*words, cwd=folder)
        if crash(ended) or ended.code:
            return ended
    return None


def quoted(text: str) -> str:
    """A cell of a csv."""
    return '"' + text.replace('"', '""') + '"'


def score_names() -> list[str]:
    """Names of scores files: three streams, two folds."""
    return [run.replace("/", "_") for run in RUNS]


def make_scores(folder: Path, name: str) -> None:
    """Scores of two classes, one of them of this name, by random networks."""
    chance = np.random.default_rng(0)
    classes, labels = ("plain", name), np.array([0, 0, 1, 1])
    for run, file in zip(RUNS, score_names(), strict=True):
        stream, method, fold, _ = run.removeprefix("runs/").split("/")
        number = int(fold[-1])
        clips = tuple(f"{classes[label]}/{number}{i}" for i, label in enumerate(labels))
        values = chance.normal(size=(4, 2, 2)).astype(np.float32)
        write_scores(
            folder / f"{file}.h5", Scores(RunName(stream, method, number, 0), classes, clips, labels, values), {}
        )


class Parsed(HTMLParser):
    """A page: how often it has each tag or attribute by which it could act, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in DANGEROUS:
            self.tags[tag] += 1
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith(("javascript:", "http")):
                self.tags[f"{tag} {name}"] += 1

    def handle_data(self, data: str) -> None:
        self.text += data


def squeezed(text: str) -> str:
    """A text without blanks and characters that cannot be seen, which a page may fold, show as symbols or drop."""
    return "".join(letter for letter in text if letter.isprintable() and not letter.isspace())


def watch(page: "Page", acts: list[str]) -> None:
    """Note every address that a page asks for, every dialog and every error of a script."""
    page.on("request", lambda request: acts.append(request.url))
    page.on("pageerror", lambda error: acts.append(error.message))

    def dismiss(dialog: "Dialog") -> None:
        acts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)


def chromium(launcher: Launcher, folder: Path) -> Iterator[Verdict]:
    """All names on pages in a browser without network: no request, no dialog, no error of a script."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        yield Verdict("names/chromium", SKIPPED, "no Chromium, or no playwright, to show the pages")
        return
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=program) as browser:
        for name, raw in NAMES.items():
            case = f"names/chromium/{name}"
            place = folder / name.replace(" ", "-")
            place.mkdir()
            try:
                ended = make_pages(launcher, place, raw.decode(), figures=False)
            except UnicodeDecodeError:
                continue
            if ended:
                yield Verdict(case, crash(ended) or "refused", shown(ended))
                continue
            acts: list[str] = []
            page = browser.new_page()
            watch(page, acts)
            page.goto((place / "paper.html").as_uri())
            page.close()
            acts = [act for act in acts if not act.startswith(("file:", "data:", "blob:"))]
            yield Verdict(case, "unnoticed" if acts else RIGHT, ", ".join(acts)[:200])


USES: dict[str, Callable[[str, bytes], Callable[[Launcher, Path], Iterator[Verdict]]]] = {
    "class": as_class,
    "clip": as_clip,
    "flow": as_flow,
    "pages": on_pages,
}
