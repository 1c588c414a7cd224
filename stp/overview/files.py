"""The contents of a results folder beside scores: csv and pdf files to link, pictures to show, and times of jobs."""

import base64
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from stp.errors import UserError
from stp.system.files import is_system_error, visible_files
from stp.system.job_costs import read_costs

LINKED = (".csv", ".pdf")
FOLDERS = ("confusion", "figures", "splits", "runs")  # of a results folder, in which such files lie
MOST = 300  # links of a folder; of more there is a line
KINDS = {"explain": "Explanation of {}", "examples": "Clip {}"}  # names of figures, by their folder
PICTURE_WIDTH = 1500  # pixels, of figures in the page, whose pdf files are linked
TABLES = ("table1", "table2", "table3", "methods", "claims", "differences", "statistics", "metrics", "fusion")


@dataclass(frozen=True)
class Link:
    """A file beside the page: its name and address."""

    name: str
    address: str


@dataclass(frozen=True)
class Links:
    """The files of a folder; `more` are not listed."""

    folder: str
    files: tuple[Link, ...]
    more: int


def address_of(path: Path, folder: Path) -> str:
    """The address of a file from a page in `folder`."""
    return quote(os.path.relpath(path, folder))


def linked_files(results: Path, folder: Path) -> list[Links]:
    """Every csv and pdf file of the results, by folder, as a page in `folder` links them."""
    groups = {".": [path for path in sorted(results.iterdir()) if path.is_file() and not path.name.startswith(".")]}
    for name in FOLDERS:
        if (results / name).is_dir():
            groups[name] = list(visible_files(results / name))
    found = []
    for name, paths in groups.items():
        chosen = [path for path in paths if path.suffix in LINKED]
        base = results if name == "." else results / name
        links = [Link(path.relative_to(base).as_posix(), address_of(path, folder)) for path in chosen[:MOST]]
        if links:
            found.append(Links(name, tuple(links), len(chosen) - len(links)))
    return found


def table_files(results: Path) -> list[Path]:
    """The Markdown files of the tables, in the order of TABLES, then all others that have a csv beside them."""
    paths = [path for path in sorted(results.glob("*.md")) if path.with_suffix(".csv").is_file()]
    places = {name: place for place, name in enumerate(TABLES)}
    return sorted(paths, key=lambda path: (places.get(path.stem, len(places)), path.stem))


@dataclass(frozen=True)
class Picture:
    """A figure: name, caption, its image as an address with all bytes, and those of its pdf and video, if any."""

    name: str
    caption: str
    source: str
    width: int
    height: int
    pdf: str
    video: str


def pictures(results: Path, folder: Path) -> Iterator[Picture]:
    """Figures 3 and 4, explanations and examples of clips, smaller than their files."""
    figures = results / "figures"
    named = [figures / f"{name}.png" for name in ("figure3", "figure4")]
    for path in [*named, *(path for name in ("explain", "examples") for path in sorted(figures.glob(f"{name}/*.png")))]:
        if path.is_file():
            yield _picture(path, folder)


def _picture(path: Path, folder: Path) -> Picture:
    try:
        with Image.open(path) as image:
            caption = str(image.info.get("Title", path.stem))
            small = image.convert("RGB")
    except Exception as error:  # Pillow raises many kinds for damaged files
        if is_system_error(error):
            raise UserError(f"{path}: cannot be read ({error})") from None
        raise UserError(f"{path}: not a png, or damaged; make the figure again") from None
    small.thumbnail((PICTURE_WIDTH, 100 * PICTURE_WIDTH))
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=85)
    source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    beside = {kind: path.with_suffix(kind) for kind in (".pdf", ".mp4")}
    pdf, video = (address_of(other, folder) if other.is_file() else "" for other in beside.values())
    name = caption.partition(": ")[0]
    return Picture(KINDS.get(path.parent.name, "{}").format(name), caption, source, *small.size, pdf, video)


@dataclass(frozen=True)
class RuleTime:
    """The cost of all jobs of a rule: wall and processor time in seconds, and the most memory of one in MiB.

    Memory is None where that of none was measured.
    """

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory: float | None


def rule_times(results: Path) -> list[RuleTime]:
    """The times of all jobs by rule, the longest first, by Snakemake's benchmark files that can be read."""
    rules: dict[str, list[dict[str, float]]] = {}
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        rule = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        rules.setdefault(rule, []).extend(read_costs(path))
    times = [
        RuleTime(
            rule,
            len(rows),
            sum(row.get("s", 0.0) for row in rows),
            sum(row.get("cpu_time", 0.0) for row in rows),
            max((row["max_rss"] for row in rows if "max_rss" in row), default=None),
        )
        for rule, rows in rules.items()
        if rows
    ]
    return sorted(times, key=lambda item: -item.seconds)
