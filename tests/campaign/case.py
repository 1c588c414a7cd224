"""A case of the campaign, its verdict, and the table of all of them."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.command import Ended, Launcher

RIGHT, UNKNOWABLE, SKIPPED = "right", "unknowable", "skipped"
MEANINGS = {
    RIGHT: "taken as it is, or refused in a line or two that name the file or key",
    UNKNOWABLE: "no fault: a damage that changes pixels and that FFmpeg, asked to be strict, does not notice",
    SKIPPED: "not tried, and not counted among the tried",
}
FAULTS = {
    "traceback": "Python's traceback, or 'please report it'",
    "signal": "ended by a signal, as a segmentation fault",
    "hang": "did not end in time",
    "refused": "what is healthy was refused, or stopped the command",
    "unnoticed": "what is damaged or wrong was used without a word",
    "incomplete": "an incomplete file under its final name",
    "different": "an output that differs from the undisturbed one",
    "words": "a refusal of more than three lines, or that does not name the file or key",
    "campaign": "the case itself went wrong",
}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one thing that was tried: right, skipped or a fault; `detail` says what was seen."""

    case: str
    outcome: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.case}: {self.outcome}: {self.detail}"


Try = Callable[[Launcher, Path], Iterable[Verdict]]


@dataclass(frozen=True)
class Case:
    """Something to try: `run` gets a launcher and an empty folder, and gives a verdict on each thing tried."""

    name: str
    run: Try

    def verdicts(self, launcher: Launcher, folder: Path, leave: bool = False) -> list[Verdict]:
        """The verdicts; an error of the case itself is one, too. The folder is gone afterwards unless `leave`."""
        folder.mkdir(parents=True)
        try:
            return list(self.run(launcher, folder))
        except Exception as error:
            return [Verdict(self.name, "campaign", f"{type(error).__name__}: {error}")]
        finally:
            if not leave:
                shutil.rmtree(folder, ignore_errors=True)


def shown(ended: Ended) -> str:
    """The command and how it ended, in one line."""
    words = " ".join(ended.words)
    said = " / ".join(ended.message[-3:]) or " / ".join(ended.stdout.splitlines()[-3:])
    return f"[{words[:400]}] exit {ended.code}: {said[:400]}"


def table(parts: Mapping[str, Sequence[Verdict]]) -> list[str]:
    """The table of outcomes, one row a part, as lines of Markdown; columns of faults that nowhere occur say 0."""
    names = ["part", "tried", RIGHT, *FAULTS, UNKNOWABLE, SKIPPED]
    rows = [names, [":--", *["--:"] * (len(names) - 1)]]
    total: Counter[str] = Counter()
    for part, verdicts in parts.items():
        counts = Counter(verdict.outcome for verdict in verdicts)
        total += counts
        rows.append([part, *cells(counts)])
    rows.append(["all", *cells(total)])
    return ["| " + " | ".join(row) + " |" for row in rows]


def cells(counts: Counter[str]) -> list[str]:
    """The counts of a row, after the part's name."""
    tried = counts.total() - counts[SKIPPED]
    numbers = (tried, *(counts[name] for name in (RIGHT, *FAULTS, UNKNOWABLE, SKIPPED)))
    return [str(number) for number in numbers]
