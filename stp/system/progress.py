"""How far a command is, for whoever watches: a bar, or a line a minute where Snakemake's jobs share a terminal.

Nothing is shown where nobody watches, so that logs hold no bars.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

STYLE = "STP_PROGRESS"  # environment variable: bar, lines or none
SECONDS_BETWEEN_LINES = 60


def choose_style(watched: bool, shared: bool) -> None:
    """Decide for this process, unless the environment does: is standard error a terminal, and that of other jobs?"""
    style = "none"
    if watched:
        style = "lines" if shared else "bar"
    os.environ.setdefault(STYLE, style)


class _Lines(tqdm):
    monitor_interval = 0  # no thread that shows again what has not changed

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        if msg != "":  # what clears a bar
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()
        return True


def progress(steps: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """`steps` as tqdm shows them, with its options; of lines, what takes less than a minute gives none."""
    style = os.environ.get(STYLE) or ("bar" if sys.stderr.isatty() else "none")
    if style == "lines":
        pause = SECONDS_BETWEEN_LINES
        return _Lines(steps, mininterval=pause, maxinterval=pause, delay=pause, leave=False, **options)
    return tqdm(steps, disable=style == "none", **options)
