"""Snakemake in a process of its own: the only module of stp that knows it.

The process is `python -m stp.pipeline.engine PIPE ARGUMENTS...`: Snakemake's own command line with a handler of its
log, which writes what happens to jobs into a pipe, a JSON object a line. What jobs print goes to the output, as always.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from types import FrameType
from typing import IO, Any

from stp.config_check import ROOT
from stp.errors import UserError
from stp.pipeline.jobs import Job

LIGHT_MINUTES = 10  # what the profiles give to jobs of tables and figures
PROFILES = ROOT / "workflow/profiles"
# Options by which jobs run elsewhere than on this machine, and by which none run.
ELSEWHERE = ("--profile", "--workflow-profile", "--executor", "-e")
NO_JOBS = (
    *("--help", "-h", "--version", "-v", "--unlock", "--touch", "-t", "--lint", "--report", "--archive"),
    *("--summary", "-S", "--detailed-summary", "-D", "--dag", "--rulegraph", "--filegraph", "--list-rules", "-l"),
    *("--list-changes", "--list-untracked", "--cleanup-metadata", "--cleanup-shadow", "--delete-all-output"),
)
CHATTER = re.compile(r"Using (profile|workflow specific profile)")  # printed before any option is read
SECONDS_BETWEEN_LOOKS = 0.5
LOOKS_AFTER_THE_END = 4  # for output, which a job that was left behind may hold open


@dataclass(frozen=True)
class Event:
    """Something that happened: `kind` is planned, started, finished, failed, said, printed or nothing.

    The first four are of a job. Snakemake says words, and jobs print them. Nothing is what happens twice a second.
    """

    kind: str
    job: Job | None = None
    words: str = ""


@dataclass
class Call:
    """A call of Snakemake for a config: its targets and further options, as they follow `snakemake`."""

    config: Path
    results: str
    targets: Sequence[str] = ()
    options: Sequence[str] = ()
    memory: int = 0  # megabytes that the jobs of this machine may take together; 0 for no limit
    status: int = field(default=0, init=False)  # of the last run that has ended
    stopped: bool = field(default=False, init=False)  # by Ctrl-C or SIGTERM

    @property
    def here(self) -> bool:
        """True if jobs run on this machine."""
        return not self._has(ELSEWHERE)

    @property
    def runs_jobs(self) -> bool:
        """True if jobs run, and the options ask for nothing else."""
        return not self._has(NO_JOBS)

    def _has(self, names: Sequence[str]) -> bool:
        return any(option.partition("=")[0] in names for option in self.options)

    def arguments(self, *more: str) -> list[str]:
        """Snakemake's arguments. `--profile NAME` is the user's folder NAME, or else the profile NAME of the workflow.

        Either replaces the default profile, whose resources would otherwise replace those of a folder of the user's.
        """
        options = []
        for option in self.options:
            options += option.split("=", 1) if option.startswith("--profile=") else [option]
        if "--profile" in options[:-1] and "--workflow-profile" not in options:
            place = options.index("--profile")
            own, ours = Path(options[place + 1]), PROFILES / options[place + 1]
            if own.is_dir() or ours.is_dir():
                options[place : place + 2] = ["--workflow-profile", str(own if own.is_dir() else ours)]
        if "--workflow-profile" not in options:
            options = ["--workflow-profile", str(PROFILES / "default"), *options]
        if self.here and self.memory and not self._has(["--resources", "--res"]):
            options = ["--resources", f"mem_mb={self.memory}", *options]
        files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(self.config)]
        return [*files, *options, *more, *(["--", *self.targets] if self.targets else [])]

    def run_plainly(self) -> int:
        """Run Snakemake as it is on this terminal; its exit status."""
        return subprocess.run([sys.executable, "-m", "snakemake", *self.arguments()], check=False).returncode

    def planned(self) -> list[Job]:
        """The jobs that would run, by a dry run.

        Raises:
            UserError: there is no such target, or something else that Snakemake refuses.
        """
        events = list(self._events(["--dry-run"]))
        if self.stopped:
            raise UserError("stopped before any job ran")
        if self.status:
            words = [event.words for event in events if event.words]
            raise UserError(words[-1] if words else f"Snakemake ends with status {self.status}")
        return [event.job for event in events if event.job]

    def run(self) -> Iterator[Event]:
        """Run the jobs: what happens, until Snakemake has ended; `status` is then its exit status.

        Ctrl-C, SIGTERM and a terminal that is closed stop it and its jobs, which keep their states.
        """
        yield from self._events(["--quiet", "all"])

    def _events(self, more: Sequence[str]) -> Iterator[Event]:
        read, write = os.pipe()
        command = [sys.executable, "-m", "stp.pipeline.engine", str(write), *self.arguments(*more)]
        process = subprocess.Popen(
            command,
            pass_fds=[write],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # of its own, so that a request to stop reaches it and its jobs once
        )
        os.close(write)
        lines: Queue[tuple[bool, str] | None] = Queue()
        assert process.stdout
        for file, reports in ((os.fdopen(read, "rb"), True), (process.stdout, False)):
            threading.Thread(target=_read_lines, args=(file, reports, lines), daemon=True).start()
        translator = _Translator(self.results, dry="--dry-run" in more)
        with self._handing_on(process):
            for line in _until_closed(lines, process):
                yield from translator.events(line)
        self.status = process.wait()

    @contextmanager
    def _handing_on(self, process: "subprocess.Popen[bytes]") -> Iterator[None]:
        """Within the block, a request to stop is handed on to the process and its jobs as Ctrl-C."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

        previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _read_lines(file: IO[bytes], reports: bool, lines: "Queue[tuple[bool, str] | None]") -> None:
    with file:
        for line in file:
            lines.put((reports, line.decode("utf-8", "replace").rstrip("\n")))
    lines.put(None)


def _until_closed(
    lines: "Queue[tuple[bool, str] | None]", process: "subprocess.Popen[bytes]"
) -> Iterator[tuple[bool, str]]:
    """The lines of both pipes until they are closed; an empty one when there was none for a while."""
    pipes, looks = 2, 0
    while pipes and looks < LOOKS_AFTER_THE_END:
        try:
            line = lines.get(timeout=SECONDS_BETWEEN_LOOKS)
        except Empty:
            looks += process.poll() is not None
            yield False, ""
            continue
        if line is None:
            pipes -= 1
        else:
            yield line


class _Translator:
    """Makes events of lines: Snakemake's reports, and what is printed."""

    def __init__(self, results: str, dry: bool) -> None:
        self.results, self.dry = results, dry
        self.jobs: dict[int, Job] = {}

    def events(self, line: tuple[bool, str]) -> Iterator[Event]:
        """The events of a line."""
        reports, words = line
        if reports:
            yield from self._of_report(json.loads(words))
        elif not words:
            yield Event("nothing")
        elif not self.dry and not CHATTER.match(words):
            yield Event("printed", words=words)

    def _of_report(self, report: Mapping[str, Any]) -> Iterator[Event]:
        kind, number = report["event"], report["job"]
        if kind == "job_info":
            if report["benchmark"]:  # those without one only name what is to be made
                name = os.path.relpath(report["benchmark"], f"{self.results}/benchmarks").removesuffix(".tsv")
                self.jobs[number] = Job(name, tuple(report["log"]), report["minutes"] <= LIGHT_MINUTES)
                yield Event("planned" if self.dry else "started", self.jobs[number])
        elif number in self.jobs:
            yield Event("finished" if kind == "job_finished" else "failed", self.jobs[number])
        elif report["words"]:
            yield Event("said", words=report["words"])


class _Reporter(logging.Handler):
    """Writes what Snakemake's log says of jobs, and its warnings and errors, into a pipe."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self.pipe: IO[str] | None = os.fdopen(pipe, "w", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a line of JSON; nothing where nobody reads it any more."""
        if self.pipe is None or not record.name.startswith("snakemake"):
            return
        event = getattr(record, "event", None)
        of_job = event in ("job_info", "job_finished", "job_error")
        report = {
            "event": str(event),
            "job": getattr(record, "job_id", getattr(record, "jobid", None)) if of_job else None,
            "benchmark": getattr(record, "benchmark", None),
            "log": [str(path) for path in getattr(record, "log", ())],
            "minutes": getattr(record, "resources", {}).get("runtime") or 0 if event == "job_info" else 0,
            "words": "" if of_job else _plain_words(record),
        }
        try:
            self.pipe.write(json.dumps(report) + "\n")
            self.pipe.flush()
        except OSError:
            self.pipe = None


def _plain_words(record: logging.LogRecord) -> str:
    """A warning or an error without the name of its class; empty for what is said otherwise, too."""
    words, kind = str(record.msg or ""), getattr(record, "exception", "")
    if record.levelno < logging.WARNING or "At least one job did not complete successfully" in words:
        return ""
    if kind == "RuleException" and "returned non-zero exit status" in words:  # the job has said why
        return ""
    if kind == "LockException":
        return (
            "results: another run works in this folder, or one was killed; if none is running, repeat the command with "
            "--unlock first"
        )
    return words.strip()


def main() -> None:
    """Snakemake's command line, which reports into the pipe that the first argument numbers."""
    from snakemake.cli import main as snakemake

    pipe = int(sys.argv[1])
    os.set_inheritable(pipe, False)  # jobs that are left behind would keep it open
    logging.getLogger().addHandler(_Reporter(pipe))
    sys.argv = ["snakemake", *sys.argv[2:]]
    snakemake(sys.argv[1:])


if __name__ == "__main__":
    main()
