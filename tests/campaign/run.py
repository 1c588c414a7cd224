"""`make campaign`: videos, configs, damaged files, kills, full disks and hostile names, thousands of them, seeded.

python -m tests.campaign.run --keep                     everything; the table goes to benchmarks/RESULTS.md
python -m tests.campaign.run --part videos --part names
python -m tests.campaign.run --only damaged/index.csv   the cases whose names begin so, to see one again
python -m tests.campaign.run --only videos/avi-mjpeg/cut-2 --leave      and its files stay
python -m tests.campaign.run --sample                   two minutes of it
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.campaign import configs, damaged, disks, kills, names, videos
from tests.campaign.case import FAULTS, MEANINGS, SKIPPED, Case, Verdict, table
from tests.campaign.command import Launcher
from tests.campaign.results import make_results

PARTS: dict[str, Callable[[Path, int], list[Case]]] = {
    "videos": videos.cases,
    "configs": configs.cases,
    "damaged": damaged.cases,
    "kills": kills.cases,
    "disks": disks.cases,
    "names": names.cases,
}
ON_RESULTS = {"damaged", "kills", "disks"}
SAMPLE = {"videos": 3, "configs": 40, "damaged": 40, "kills": 5, "disks": 5, "names": 6}
LAUNCHERS = 2


def chosen(parts: Sequence[str], results: Path, seed: int, sample: bool, only: str) -> dict[str, list[Case]]:
    """The cases of each part: all, a seeded sample, or those whose names begin with `only` (or that of a verdict)."""
    found = {}
    for part in parts:
        cases = [case for case in PARTS[part](results, seed) if is_of(case, only)]
        if sample and len(cases) > SAMPLE[part]:
            cases = random.Random(seed).sample(cases, SAMPLE[part])
        found[part] = cases
    return found


def is_of(case: Case, only: str) -> bool:
    """True if the name of a case begins with `only`, or if a case of many verdicts holds the one of this name."""
    many = case.name.rpartition("/")[0] + "/" if case.name.startswith("videos/") else None
    return case.name.startswith(only) or (many is not None and only.startswith(many))


def try_all(parts: dict[str, list[Case]], folder: Path, leave: bool = False) -> dict[str, list[Verdict]]:
    """The verdicts of each part, in the order of the cases; two cases are tried at a time."""
    results = folder / "results"
    launchers: SimpleQueue[Launcher] = SimpleQueue()
    opened = [Launcher(folder / f"launcher{number}") for number in range(LAUNCHERS)]
    try:
        if any(parts.get(part) for part in ON_RESULTS):
            make_results(opened[0], results)
            say("a tiny results folder is made")
        for launcher in opened:
            launchers.put(launcher)

        def verdicts(numbered: tuple[int, Case]) -> list[Verdict]:
            number, case = numbered
            launcher = launchers.get()
            try:
                return case.verdicts(launcher, folder / f"{case.name.partition('/')[0]}{number}", leave)
            finally:
                launchers.put(launcher)

        found = {}
        with ThreadPoolExecutor(LAUNCHERS) as pool:
            for part, cases in parts.items():
                began = time.monotonic()
                found[part] = [each for some in pool.map(verdicts, enumerate(cases)) for each in some]
                say(f"{part}: {len(found[part])} tried in {time.monotonic() - began:.0f} s")
                for verdict in faults({part: found[part]}):
                    print(verdict, flush=True)
        return found
    finally:
        for launcher in opened:
            launcher.close()


def campaign(
    parts: Sequence[str], seed: int, sample: bool = False, only: str = "", leave: bool = False
) -> dict[str, list[Verdict]]:
    """Try the cases in a temporary folder, of which nothing is left unless `leave` asks for it."""
    folder = Path(tempfile.mkdtemp(prefix="stp-campaign-")).resolve()
    folder.chmod(0o755)  # for commands that run without root's rights
    try:
        return try_all(chosen(parts, folder / "results", seed, sample, only), folder, leave)
    finally:
        disks.unmount_below(folder)
        if leave:
            say(f"the files are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def faults(found: dict[str, list[Verdict]]) -> list[Verdict]:
    """The verdicts that are faults."""
    return [verdict for verdicts in found.values() for verdict in verdicts if verdict.outcome in FAULTS]


def say(words: str) -> None:
    """A line with the time."""
    print(f"campaign: {time.strftime('%X')} {words}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit status: 0 if there is no fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part; repeat for more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", action="store_true", help="a seeded sample of two minutes")
    parser.add_argument("--only", default="", metavar="NAME", help="the cases whose names begin so")
    parser.add_argument("--leave", action="store_true", help="leave the files of the cases, to look at them")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/RESULTS.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("campaign: terminated"))  # so that nothing stays mounted
    began = time.monotonic()
    parts = options.part or [part for part in PARTS if options.only.split("/")[0] in ("", part)]
    found = campaign(parts, options.seed, options.sample, options.only, options.leave)
    for reason in sorted({verdict.detail for each in found.values() for verdict in each if verdict.outcome == SKIPPED}):
        say(f"skipped: {reason}")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from record import record

    remarks = f"`python -m tests.campaign.run`, seed {options.seed}: {(time.monotonic() - began) / 60:.0f} min in all."
    meanings = [f"- {name}: {meaning}." for name, meaning in {**FAULTS, **MEANINGS}.items()]
    record("Campaign", [*table(found), "", *meanings], remarks, options.keep)
    return 1 if faults(found) else 0


if __name__ == "__main__":
    sys.exit(main())
