"""The display of a running pipeline: on a terminal one that stays at its end, elsewhere a line now and then."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stp.pipeline.engine import Event
from stp.pipeline.jobs import Job, Times, time_words

MOST_RUNNING = 8  # jobs that the display names
SECONDS_BETWEEN_LINES = 60
SECONDS_TO_SETTLE = 20  # until the number of jobs that run at once is told by the time so far
LINES_OF_A_LOG = 5
BAR_WIDTH = 30
# What stands before the words of a line in a log, and in what a job prints.
BEFORE_WORDS = re.compile(r"^(\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+|stp: [A-Z]+:) ")


class Display:
    """Shows jobs as they start, end and fail, and what they print above that.

    The time that is left follows from `times`, to which jobs that end are added. A console that is no terminal gets
    plain lines, one a minute at most beside what is printed. `clock` gives seconds.
    """

    def __init__(
        self, jobs: Sequence[Job], times: Times, console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.times, self.console, self.clock = times, console, clock
        self.total = len(jobs)
        self.waiting = dict.fromkeys(jobs)
        self.running: dict[Job, float] = {}  # and when they started
        self.failed: dict[Job, None] = {}
        self.printed: set[str] = set()
        self.stopped = False  # on request: jobs that end by it have not failed
        self.begun = self.changed = self.told = clock()
        self.job_seconds = 0.0  # so far, of all jobs together
        self.live = Live(get_renderable=self.renderable, console=console, refresh_per_second=2, transient=True)

    @property
    def done(self) -> int:
        """How many jobs have ended well."""
        return self.total - len(self.waiting)

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def show(self, event: Event) -> None:
        """Take an event into account, and print what is to be read."""
        self._count()
        if event.kind == "started" and event.job:
            self.running[event.job] = self.clock()
        elif event.kind == "finished" and event.job:
            self.times.measured[event.job.name] = self.clock() - self.running.pop(event.job, self.clock())
            self.waiting.pop(event.job, None)
            self.failed.pop(event.job, None)
        elif event.kind == "failed" and event.job:
            self.running.pop(event.job, None)
            if not self.stopped:
                self.failed[event.job] = None
                self._print(self._failure(event.job))
        elif event.words:
            self.printed.add(BEFORE_WORDS.sub("", event.words))
            self._print(event.words)
        if not self.console.is_terminal and self.clock() - self.told >= SECONDS_BETWEEN_LINES:
            self.told = self.clock()
            self._print(self.progress())

    def progress(self) -> str:
        """How many jobs are done, and what time is left."""
        return f"{self.done} of {self.total} jobs{self.left()}"

    def left(self) -> str:
        """The time that is left, in words; empty where none of the jobs to come has been measured."""
        now = self.clock()
        at_once = len(self.running) if now - self.begun < SECONDS_TO_SETTLE else self.job_seconds / (now - self.begun)
        ran = {job: now - start for job, start in self.running.items()}
        seconds, complete = self.times.left(self.waiting, ran, at_once)
        if not seconds or not self.waiting:
            return ""
        return f", {'about' if complete else 'more than'} {time_words(seconds)} left"

    def outcome(self) -> str:
        """One line when all is over."""
        took = time_words(self.clock() - self.begun)
        if not self.waiting:
            return f"{self.total} jobs done in {took}"
        why = f"{len(self.failed)} failed" if self.failed else "stopped"
        return f"{why} after {took}, {self.done} of {self.total} jobs done; the same command goes on with the others"

    def renderable(self) -> Group:
        """The display at the end of the terminal."""
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(max(1, self.total), self.done, BAR_WIDTH, complete_style="green", finished_style="green")
        head.add_row(bar, Text(self.progress()))
        now = self.clock()
        named = list(self.running.items())[:MOST_RUNNING]
        lines = [Text(f"  {job}  {time_words(now - start)}", overflow="ellipsis", no_wrap=True) for job, start in named]
        if more := len(self.running) - len(named):
            lines.append(Text(f"  and {more} more"))
        return Group(head, *lines)

    def _count(self) -> None:
        now = self.clock()
        self.job_seconds += len(self.running) * (now - self.changed)
        self.changed = now

    def _failure(self, job: Job) -> str:
        """The end of a failed job's log, without what it has printed."""
        lines = [f"failed: {job}, log: {', '.join(job.logs)}"]
        for path in job.logs:
            try:
                words = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError:
                continue
            told = [line for line in words if line.strip() and BEFORE_WORDS.sub("", line) not in self.printed]
            lines += [f"  {line}" for line in told[-LINES_OF_A_LOG:]]
        return "\n".join(lines)

    def _print(self, words: str) -> None:
        self.console.print(Text(words), soft_wrap=True)
