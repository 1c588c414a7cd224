"""The end of every benchmark: print its table and keep it in RESULTS.md with date, machine and versions.

RESULTS.md has two parts: Current, with one section of each kind of measurement, and History, with the sections that
later ones have replaced, oldest first. The kind is the part of a section's heading before its first comma.
"""

import argparse
import os
import platform
import re
from datetime import date
from pathlib import Path

from stp.system.versions import versions

RESULTS = Path(__file__).with_name("RESULTS.md")
EMPTY = "# Measurements\n\n## Current\n\n## History\n"


def machine() -> str:
    """Processor, cores and memory, and the GPU if there is one."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; {gpu()}"


def gpu() -> str:
    """The GPU's name, or "no GPU"."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def benchmark_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of command lines with the options that all benchmarks have: where figures are kept, if anywhere."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FILE", help="keep the figures in another file")
    parser.add_argument("--dry", action="store_const", const=None, dest="keep", help="only print them")
    return parser


def record(title: str, rows: list[str], remarks: str = "", keep: Path | None = RESULTS) -> None:
    """Print a section with these rows and make it the current one of its kind in the file `keep`, unless None.

    `title` is "KIND" or "KIND, what is special about this run". Figures of a machine that is busy with other work
    should only be printed.
    """
    known = ", ".join(f"{name} {number}" for name, number in versions().items())
    lines = [
        f"### {title}, {date.today().isoformat()}",
        "",
        f"{machine()}. {remarks}".strip(),
        "",
        *rows,
        "",
        f"{known}.",
    ]
    section = "\n".join(lines)
    print(section)
    if keep is not None:
        text = keep.read_text(encoding="utf-8") if keep.exists() else EMPTY
        keep.write_text(with_current(text, section), encoding="utf-8")


def with_current(text: str, section: str) -> str:
    """The text of RESULTS.md with this section as the current one of its kind.

    It takes the place of the former one, which moves to the end of History; a new kind comes last in Current.
    """
    above, history = text.split("\n## History\n")
    introduction, *current = split_sections(above)
    replaced = [each for each in current if kind(each) == kind(section)]
    if replaced:
        current = [section if each in replaced else each for each in current]
    else:
        current.append(section)
    parts = [introduction, *current, "## History", *split_sections(history), *replaced]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def split_sections(text: str) -> list[str]:
    """The text before the first section, then the sections, each from its heading on."""
    return re.split(r"^(?=### )", text, flags=re.MULTILINE)


def kind(section: str) -> str:
    """The part of a section's heading before its first comma."""
    return section.removeprefix("### ").split("\n", 1)[0].split(",", 1)[0]
