"""The runs that a page can compare: the most that have been scored without a fold or seed missing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stp.data.run_name import RunName
from stp.evaluation.fused import input_name
from stp.evaluation.scores import Scores
from stp.overview.cards import cell_name

Cell = tuple[str, str]  # input and method
Pair = tuple[int, int]  # fold and seed


@dataclass(frozen=True)
class Notice:
    """A sentence or two that a reader has to see first, and the names of the runs that it counts."""

    words: str
    runs: tuple[str, ...] = ()


ONE_FOLD = Notice(
    "Left out: fusions with learned weights, fitted on clips that other folds test. Only one fold is complete."
)


def complete_runs(scores: Sequence[Scores]) -> tuple[list[Scores], list[RunName]]:
    """The scores in which every input and method has the same folds and seeds, and the names of those left out.

    Of all such choices it is the one with the most runs; of several, the one with the most inputs and methods.
    """
    pairs: dict[Cell, set[Pair]] = {}
    for item in scores:
        pairs.setdefault((item.run.input, item.run.method), set()).add((item.run.fold, item.run.seed))
    blocks = dict.fromkeys(block for own in pairs.values() for block in _blocks(own))
    blocks |= dict.fromkeys(frozenset(a & b) for a in blocks for b in blocks if a & b)
    chosen = max(blocks, key=lambda block: _use(block, pairs), default=frozenset())
    kept = [
        item
        for item in scores
        if chosen <= pairs[item.run.input, item.run.method] and (item.run.fold, item.run.seed) in chosen
    ]
    names = {item.run for item in kept}
    return kept, [item.run for item in scores if item.run not in names]


def _blocks(own: set[Pair]) -> Iterable[frozenset[Pair]]:
    """Every set of folds with the same seeds that some fold has."""
    seeds: dict[int, set[int]] = {}
    for fold, seed in sorted(own):
        seeds.setdefault(fold, set()).add(seed)
    for wanted in seeds.values():
        yield frozenset((fold, seed) for fold, found in seeds.items() if wanted <= found for seed in wanted)


def _use(block: frozenset[Pair], pairs: Mapping[Cell, set[Pair]]) -> tuple[int, int]:
    """Number of runs that the block keeps, and of inputs with their methods."""
    cells = sum(block <= own for own in pairs.values())
    return cells * len(block), cells


def missing_notices(left_out: Sequence[RunName], under_way: Mapping[RunName, str]) -> list[Notice]:
    """Notices on runs that the page leaves out, and on trainings that have not ended, whose status is `under_way`."""
    notices = []
    if left_out:
        counted = _counted(dict.fromkeys(left_out, ""))
        words = f"Left out of the comparison, for which all need the same folds and seeds: {counted}."
        notices.append(Notice(words, tuple(map(str, left_out))))
    if under_way:
        names = tuple(f"{name} ({status})" for name, status in under_way.items())
        notices.append(Notice(f"Not yet trained: {_counted(under_way)}.", names))
    return notices


def _counted(status: Mapping[RunName, str]) -> str:
    """How many runs of each input and variant there are, with their status where it is not empty."""
    counts = Counter((name.input, name.method, words) for name, words in status.items())
    return "; ".join(
        f"{cell_name(input_name(run_input), method)} ({count} run{'s' * (count > 1)}{', ' * bool(words)}{words})"
        for (run_input, method, words), count in counts.items()
    )
