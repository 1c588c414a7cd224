"""Jobs of the pipeline, and how long they take by the times of others that have been measured."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from stp.system.job_costs import read_costs

LIGHT_SECONDS = 5.0  # of a job that may take a few minutes at most and has not been measured


@dataclass(frozen=True)
class Job:
    """A job: its name, such as train/of/3-level/fold1/seed0, and the paths of its logs.

    `light` jobs are those that the workflow gives no more than minutes, as it does tables and figures.
    """

    name: str
    logs: tuple[str, ...] = ()
    light: bool = False

    def __str__(self) -> str:
        return self.name.replace("/", " ", 1)

    @property
    def kind(self) -> str:
        """The kind of job, of which there may be several: the first part of the name."""
        return self.name.partition("/")[0]


class Times:
    """Seconds of jobs by their names; they grow while jobs end."""

    def __init__(self, measured: dict[str, float]) -> None:
        self.measured = dict(measured)

    def expected(self, job: Job) -> float | None:
        """The seconds of the job when it ran last, or the mean of those with which it shares most of its name.

        LIGHT_SECONDS for a light job where none of its kind has been measured; for others None.
        """
        if job.name in self.measured:
            return self.measured[job.name]
        parts = job.name.split("/")
        for depth in range(len(parts) - 1, 0, -1):
            start = "/".join(parts[:depth]) + "/"
            if alike := [seconds for name, seconds in self.measured.items() if name.startswith(start)]:
                return mean(alike)
        return LIGHT_SECONDS if job.light else None

    def left(self, jobs: Iterable[Job], ran: Mapping[Job, float], at_once: float) -> tuple[float, bool]:
        """Seconds until the jobs have ended, `at_once` of them at a time, and whether all of them are in the sum.

        `ran` holds the seconds of those that are running. Jobs of whose kind none has been measured are not in the sum.
        """
        expected = {job: self.expected(job) for job in jobs}
        known = [max(0.0, value - ran.get(job, 0.0)) for job, value in expected.items() if value is not None]
        seconds = max(max(known, default=0.0), sum(known) / max(1.0, at_once))
        return seconds, len(known) == len(expected)


def measured_times(benchmarks: Path) -> dict[str, float]:
    """The seconds of the jobs that have ended, by their names, from Snakemake's tables below a folder.

    A table that cannot be read is left out: it tells how long a job took, and no more.
    """
    found = {}
    for path in benchmarks.rglob("*.tsv"):
        if seconds := [row["s"] for row in read_costs(path) if "s" in row]:
            found[path.relative_to(benchmarks).with_suffix("").as_posix()] = mean(seconds)
    return found


def time_words(seconds: float) -> str:
    """A duration in the words of people: 40 s, 12 min or 3.5 h."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"


def kinds(jobs: Iterable[Job]) -> dict[str, int]:
    """How many jobs there are of each kind."""
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.kind] = counts.get(job.kind, 0) + 1
    return counts
