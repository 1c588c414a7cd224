"""The whole pipeline: what a config needs, and everything that it computes."""

import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stp.cli.app import app
from stp.errors import UserError

if TYPE_CHECKING:
    from stp.config import Config
    from stp.pipeline.engine import Call
    from stp.pipeline.jobs import Job

log = logging.getLogger("stp")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The config, such as videos.yaml.")]
RUN_FOLDER = re.compile(r"runs/(?P<run>[^/]+/[^/]+)(/fold(?P<fold>\d+)(/seed(?P<seed>\d+))?)?")
A_FILE = re.compile(r"\.(csv|md|png|pdf|html|h5|pt|json|mp4)$")


@app.command("check")
def check_command(config: ConfigFile) -> None:
    """Check a config and everything it needs before it runs, and say how much there is to do.

    All problems are named at once, each on one line: keys, weights, videos, disk and memory. The exit status is then 1.
    A warning, as of segments that are longer than most clips, changes nothing else.
    """
    examine(config, [], [])


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    config: ConfigFile,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET...] [OPTION...]",
            help="What to make, if not everything: table1, table2, methods, claims, figures, index, "
            "runs/of/3-level/fold1 or a file of the results. Then options of snakemake, such as -n, --cores 2 or "
            "--profile slurm.",
        ),
    ] = None,
) -> None:
    """Make everything that a config computes, or some of it: check it, then run Snakemake with one display.

    The same command goes on after an interruption, and makes again only what has changed.

    Examples:

        stp run videos.yaml
        stp run videos.yaml table1 --cores 2
        stp run videos.yaml -n
        stp run videos.yaml --profile slurm
    """
    targets, options = split_words(words or [])
    call, jobs = examine(config, targets, options)
    if {"-n", "--dry-run", "--dryrun"} & set(options):
        return
    if not call.runs_jobs:
        raise typer.Exit(call.run_plainly())
    if not jobs:
        return
    raise typer.Exit(watch(call, jobs))


def watch(call: "Call", jobs: Sequence["Job"]) -> int:
    """Run the jobs and show what happens; the exit status."""
    from rich.console import Console

    from stp.pipeline.display import Display
    from stp.pipeline.jobs import Times, measured_times

    console = Console(stderr=True, highlight=False)
    with Display(jobs, Times(measured_times(Path(call.results, "benchmarks"))), console) as display:
        for event in call.run():
            display.stopped = call.stopped
            display.show(event)
    console.print(display.outcome(), soft_wrap=True)
    return call.status


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Targets, and the options behind them; UserError for options that `stp run` gives to Snakemake itself."""
    first = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    for option in words[first:]:
        if option.partition("=")[0] in ("--configfile", "--configfiles", "--snakefile", "-s"):
            raise UserError(f"{option}: stp run gives it itself; the config comes first: stp run CONFIG [TARGET...]")
    return list(words[:first]), list(words[first:])


def examine(path: Path, targets: Sequence[str], options: Sequence[str]) -> "tuple[Call, list[Job]]":
    """The call of Snakemake and the jobs that it would run, after a report on them.

    Problems are logged, and end the command.
    """
    from stp.config_check import config_problems, read_config
    from stp.pipeline.engine import Call
    from stp.pipeline.jobs import kinds
    from stp.setup.check import EVERYTHING, check
    from stp.system.machine import process_memory

    check_exists(path, targets)
    problems, config = config_problems(read_config(path))
    results = config.results if config else "results"
    files = [file for target in targets for file in target_files(target, config)] if config else []
    call, jobs = Call(path, results, files, options, process_memory().free // 10**6), list["Job"]()
    if not problems and call.runs_jobs:
        try:
            jobs = call.planned()
        except UserError as error:
            problems.append(str(error))
    found = None
    if config:
        found = check(config, EVERYTHING if problems else kinds(jobs), call.here)
        problems += found.problems
    if problems or not found:
        for problem in problems:
            log.error("%s", problem)
        raise typer.Exit(1)
    for warning in found.warnings:
        log.warning("%s", warning)
    if call.runs_jobs:
        clips = f"{path}: {found.clips} clips of {found.classes} classes, " if found.clips else f"{path}: "
        print("\n".join([f"{clips}{found.runs} trained runs in all", *work(results, jobs, found.bytes)]))
    return call, jobs


def work(results: str, jobs: Sequence["Job"], size: int) -> list[str]:
    """Lines on what is to be done, and what it takes."""
    from stp.pipeline.jobs import Times, kinds, measured_times, time_words
    from stp.system.machine import free_disk, size_words

    if not jobs:
        return [f"nothing is to be done: all of it is in {results}"]
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds(jobs).items())
    times = Times(measured_times(Path(results, "benchmarks")))
    seconds, complete = times.left(jobs, {}, 1)
    expected = f"{'about' if complete else 'more than'} {time_words(seconds)} of one core's time, by the jobs measured"
    if not times.measured:
        expected = "how long it takes is known when the first jobs have ended"
    room = [f"{size_words(size)} to write, {size_words(free_disk(Path(results)))} are free"] if size else []
    return [f"{len(jobs)} jobs: {counts}", *room, expected]


def check_exists(path: Path, targets: Collection[str]) -> None:
    """Raise UserError if there is no such config, with the name that may be meant."""
    from stp.pipeline.named_configs import config_meant

    if path.is_file():
        return
    if path.name.startswith("-"):
        raise UserError(f"CONFIG: '{path}' is an option; the config comes first: stp run CONFIG [TARGET...] {path}")
    raise UserError(f"CONFIG: '{path}' does not exist; {config_meant(path)}")


def target_files(target: str, config: "Config") -> list[str]:
    """A target as Snakemake knows it: a rule's name, or files, whose results folder may be left out.

    The folder of a run stands for its scores, and a folder of runs for those of all folds and seeds.
    """
    results = config.results.rstrip("/")
    inner = target.removeprefix(f"{results}/").rstrip("/")
    if match := RUN_FOLDER.fullmatch(inner):
        folds = [match["fold"]] if match["fold"] else range(1, config.splits.folds + 1)
        seeds = [match["seed"]] if match["seed"] else config.training.seeds
        return [f"{results}/runs/{match['run']}/fold{fold}/seed{seed}/scores.h5" for fold in folds for seed in seeds]
    if "/" in inner or A_FILE.search(inner):
        return [f"{results}/{inner}"]
    return [target]
