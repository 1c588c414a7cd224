"""Kills: commands ended at random moments leave nothing incomplete, and make the same when they are run again."""

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

from tests.campaign.case import RIGHT, SKIPPED, Case, Verdict, shown
from tests.campaign.command import ROOT, Ended, Kill, Launcher, crash
from tests.campaign.results import SETTINGS, STEPS, STREAM, Step, copy, difference, undisturbed

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KILLED = (
    *("demo", "index", "init", "frames", "frames-jpeg", "extract", "features", "splits", "train", "train-state"),
    *("train-svm", "score", "table1", "classes", "examples", "flow-h5", "flow-npy", "flow-mp4", "predict-overlay"),
)
NEVER_OVERWRITING = {"init", "predict", "predict-overlay"}  # what they have made must be moved away before
ATTEMPTS = 6  # to strike while the command runs
WORKFLOW = {
    "results": "results",
    "dataset": {"importer": "demo", "path": "results/videos"},
    "demo": {"clips_per_class": 2, "frames": 16, "width": 64, "height": 48, "actors": 2},
    "shards": 1,
    "frames": {"width": 64, "height": 48},
    "splits": {"scheme": "grouped", "folds": 2},
    "modalities": ["rgb"],
    "variants": ["baseline"],
    "model": {key: SETTINGS[key] for key in ("backbone", "weights", "width", "input_size")},
    "training": {"partial_bn": False, "rgb": {**STREAM, "milestones": []}},
    "scoring": {"segments": 2, "crops": 1},
    "compute": {"device": "cpu", "gpus": 0, "threads": 1, "mem_mb": 500},
}
NOT_RESULTS = ("logs", "benchmarks", "state", ".snakemake")
WHOLE_RUN = Lock()  # one case at a time makes the undisturbed run of the workflow


def cases(results: Path, seed: int) -> list[Case]:
    """Each command once with each signal, and the workflow."""
    steps = [
        Case(f"kills/{step}/{number.name}", attempt(results, step, number, seed))
        for step in KILLED
        for number in SIGNALS
    ]
    workflow = [Case(f"kills/snakemake/{number.name}", workflow_attempt(results, number, seed)) for number in SIGNALS]
    return [*steps, *workflow]


def attempt(
    results: Path, name: str, number: signal.Signals, seed: int
) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Strike a command, look at what is there, and run it again."""
    case = f"kills/{name}/{number.name}"

    def run(launcher: Launcher, place: Path) -> Iterator[Verdict]:
        chance = random.Random(f"{seed}/{case}")
        step, reference = STEPS[name], undisturbed(launcher, results, name)
        seconds = float(reference.with_suffix(".seconds").read_text())
        for number_of_attempt in range(ATTEMPTS):
            source, out = place / f"results{number_of_attempt}", place / f"out{number_of_attempt}"
            copy(results, source)
            kill = Kill(chance.uniform(0.1, 1) * seconds * 0.5**number_of_attempt, number)
            ended = step.run(launcher, source, out, kill=kill)
            if ended.code != 0:
                break
        else:
            yield Verdict(case, SKIPPED, f"{name} ended before it was struck")
            return
        when = f"{number.name} after {kill.seconds:.2f} s"
        if found := verdict_of(ended, number):
            yield Verdict(case, found, f"{when}: {shown(ended)}")
        elif broken := incomplete(out, reference):
            yield Verdict(case, "incomplete", f"{when}: {broken}: {shown(ended)}")
        else:
            yield second_run(case, when, launcher, step, source, out, reference)

    return run


def verdict_of(ended: Ended, number: signal.Signals) -> str | None:
    """The fault in how a struck command ended: the signal itself is none."""
    return None if ended.code == -number else crash(ended)


def incomplete(out: Path, reference: Path) -> str | None:
    """A visible file that is not what the undisturbed command made, or None."""
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_dir() or hidden or path.suffix == ".pdf":
            continue
        if not (reference / name).exists() or difference(path, reference / name):
            return str(name)
    return None


def second_run(
    case: str, when: str, launcher: Launcher, step: Step, source: Path, out: Path, reference: Path
) -> Verdict:
    """The verdict on the same command, run again after it was struck."""
    if step.name in NEVER_OVERWRITING:
        shutil.rmtree(out)
    again = step.run(launcher, source, out)
    if fault := crash(again):
        return Verdict(case, fault, f"again after {when}: {shown(again)}")
    if again.code != 0:
        return Verdict(case, "refused", f"again after {when}: {shown(again)}")
    if differs := difference(out, reference):
        return Verdict(case, "different", f"again after {when}: {differs}: {shown(again)}")
    return Verdict(case, RIGHT, shown(again))


def workflow_attempt(results: Path, number: signal.Signals, seed: int) -> Callable[[Launcher, Path], Iterator[Verdict]]:
    """Strike Snakemake and its jobs, unlock the folder and run it again."""
    case = f"kills/snakemake/{number.name}"

    def run(launcher: Launcher, place: Path) -> Iterator[Verdict]:
        reference = results.with_name("workflow")
        with WHOLE_RUN:
            if not (reference / "seconds").exists():
                reference.mkdir()
                ended = snakemake(launcher, reference)
                if ended.code != 0:
                    raise RuntimeError(f"the undisturbed workflow ended with {ended.code}: {ended.stderr[-2000:]}")
                (reference / "seconds").write_text(str(ended.seconds))
        seconds = float((reference / "seconds").read_text())
        kill = Kill(random.Random(f"{seed}/{case}").uniform(0.2, 0.9) * seconds, number)
        ended = snakemake(launcher, place, kill=kill)
        when = f"{number.name} after {kill.seconds:.1f} s"
        if ended.code == 0:
            yield Verdict(case, SKIPPED, "snakemake ended before it was struck")
            return
        snakemake(launcher, place, "--unlock")
        again = snakemake(launcher, place, "--rerun-incomplete")
        fault = crash(again) or ("refused" if again.code != 0 else None)
        if not fault and (broken := workflow_difference(place / "results", reference / "results")):
            fault, when = "different", f"{when}: {broken}"
        yield Verdict(case, fault or RIGHT, f"again after {when}: {shown(again)}")

    return run


def snakemake(launcher: Launcher, folder: Path, *more: str, kill: Kill | None = None) -> Ended:
    """The workflow to its table, in a folder of its own, as a process of its own."""
    (folder / "config.json").write_text(json.dumps(WORKFLOW))
    words = ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", folder / "config.json"]
    options = ["--cores", 1, *more, "results/table1.csv"]
    return launcher.run("snakemake", *words, *options, cwd=folder, seconds=600, kill=kill, alone=True)


def workflow_difference(made: Path, reference: Path) -> str | None:
    """The first of the results that differs; logs and times do not count."""
    for path in sorted(reference.rglob("*")):
        name = path.relative_to(reference)
        if path.is_file() and name.parts[0] not in NOT_RESULTS and difference(made / name, path):
            return str(name)
    return None
