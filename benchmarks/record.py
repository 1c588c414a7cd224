"""What every benchmark does with its table: print it, and append it to RESULTS.md with date, machine and versions.

A machine that is busy with other work gives figures to look at, not to keep: `append=False` only prints them.
"""

import os
import platform
from datetime import date
from pathlib import Path

from stp.system.versions import versions

RESULTS = Path(__file__).with_name("RESULTS.md")


def machine() -> str:
    """Processor, cores and memory, and the GPU if there is one."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; {gpu()}"


def gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def record(title: str, rows: list[str], remarks: str = "", append: bool = True) -> None:
    """Print the section and append it to RESULTS.md."""
    known = ", ".join(f"{name} {number}" for name, number in versions().items())
    lines = [
        f"## {title}, {date.today().isoformat()}",
        "",
        f"{machine()}. {remarks}".strip(),
        "",
        *rows,
        "",
        f"{known}.",
    ]
    print("\n".join(lines))
    if not append:
        return
    text = RESULTS.read_text(encoding="utf-8") + "\n" if RESULTS.exists() else "# Measurements\n\n"
    RESULTS.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
