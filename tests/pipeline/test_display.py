"""What a run shows, on a terminal and in a file."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from stp.pipeline.display import Display
from stp.pipeline.engine import Event
from stp.pipeline.jobs import Job, Times

FIRST, SECOND, TABLE = Job("train/of/fold1"), Job("train/of/fold2"), Job("table1", light=True)


class Run:
    """A display of three jobs into a text, with a clock that is set by hand."""

    def __init__(self, terminal: bool) -> None:
        self.now, self.text = 0.0, io.StringIO()
        console = Console(file=self.text, force_terminal=terminal, width=80, _environ={"TERM": "xterm"})
        self.display = Display([FIRST, SECOND, TABLE], Times({}), console, lambda: self.now)

    def at(self, now: float, kind: str, job: Job | None = None, words: str = "") -> None:
        self.now = now
        self.display.show(Event(kind, job, words))


def test_a_file_gets_a_line_a_minute_and_no_control_characters() -> None:
    run = Run(terminal=False)
    with run.display:
        run.at(1, "started", FIRST)
        run.at(41, "finished", FIRST)
        run.at(42, "started", SECOND)
        for now in range(43, 200):
            run.at(now, "nothing")
        run.at(200, "printed", words="stp: WARNING: [red]this")
    assert run.text.getvalue().splitlines() == [
        "1 of 3 jobs, about 27 s left",  # 40 s of a training, of which 18 are over, and 5 of the table
        "1 of 3 jobs, about 5 s left",
        "1 of 3 jobs, about 5 s left",
        "stp: WARNING: [red]this",
    ]


def test_a_terminal_has_one_display_of_all_jobs_below_what_is_printed() -> None:
    run = Run(terminal=True)
    with run.display:
        run.at(1, "started", FIRST)
        run.at(31, "printed", words="a warning")
        run.display.live.refresh()
    words = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", run.text.getvalue())
    assert "a warning" in words
    assert re.search(r"━+  0 of 3 jobs, more than 5 s left\s+train of/fold1  30 s", words)


def test_time_is_told_as_more_than_while_jobs_are_not_measured() -> None:
    run = Run(terminal=False)
    assert run.display.left() == ", more than 5 s left"
    run.at(0, "started", FIRST)
    run.at(100, "finished", FIRST)
    assert run.display.left() == ", about 2 min left"


def test_a_failure_shows_the_end_of_its_log_without_what_was_printed(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    lines = [f"2026-01-01 00:00:00,000 INFO line {number}" for number in range(9)]
    log.write_text("\n".join([*lines, "2026-01-01 00:00:00,000 ERROR no room"]))
    job = Job(FIRST.name, (str(log), str(tmp_path / "absent.log")))
    run = Run(terminal=False)
    run.at(1, "started", job)
    run.at(2, "printed", words="stp: ERROR: no room")
    run.at(3, "failed", job)
    shown = run.text.getvalue().splitlines()
    assert shown == [
        "stp: ERROR: no room",
        f"failed: train of/fold1, log: {log}, {tmp_path}/absent.log",
        *(f"  {line}" for line in lines[-5:]),
    ]
    assert run.display.outcome() == "1 failed after 3 s, 0 of 3 jobs done; the same command goes on with the others"


def test_a_job_that_ends_well_when_it_is_tried_again_has_not_failed() -> None:
    run = Run(terminal=False)
    for job in (FIRST, SECOND, TABLE):
        run.at(1, "started", job)
        run.at(2, "failed", job)
        run.at(3, "started", job)
        run.at(4, "finished", job)
    assert run.display.outcome() == "3 jobs done in 4 s"


def test_jobs_that_were_stopped_on_request_are_no_failures() -> None:
    run = Run(terminal=False)
    run.at(1, "started", FIRST)
    run.display.stopped = True
    run.at(2, "failed", FIRST)
    assert run.text.getvalue() == ""
    assert run.display.outcome() == "stopped after 2 s, 0 of 3 jobs done; the same command goes on with the others"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_display_of_no_time_shows_counts(terminal: bool) -> None:
    display = Run(terminal).display
    display.waiting = {}
    assert display.progress() == "3 of 3 jobs"
