"""The progress of a command on a terminal: a bar, or one line per minute if Snakemake's jobs share the terminal.

Nothing is shown if standard error is not a terminal, so that logs hold no bars.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

STYLE = "STP_PROGRESS"  # environment variable: bar, lines or none
SECONDS_BETWEEN_LINES = 60


def choose_style(watched: bool, shared: bool) -> None:
    """Set the style of this process and its children, unless the environment has one.

    `watched` says that standard error is a terminal, `shared` that other jobs write to it, too.
    """
    style = "none"
    if watched:
        style = "lines" if shared else "bar"
    os.environ.setdefault(STYLE, style)


class _Lines(tqdm):
    monitor_interval = 0  # no thread that repeats unchanged lines

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        if msg != "":  # tqdm clears a bar with an empty message
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()
        return True


def progress(steps: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """`steps` with tqdm's progress and options; in the style of lines, loops under a minute show nothing."""
    style = os.environ.get(STYLE) or ("bar" if sys.stderr.isatty() else "none")
    if style == "lines":
        pause = SECONDS_BETWEEN_LINES
        return _Lines(steps, mininterval=pause, maxinterval=pause, delay=pause, leave=False, **options)
    return tqdm(steps, disable=style == "none", **options)
