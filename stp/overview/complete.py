"""The runs that a page can compare: the most that have been scored without a fold or seed missing."""

from collections.abc import Iterable, Mapping, Sequence

from stp.data.run_name import RunName
from stp.evaluation.scores import Scores

Cell = tuple[str, str]  # input and method
Pair = tuple[int, int]  # fold and seed


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


def missing_words(left_out: Sequence[RunName], under_way: Sequence[str]) -> list[str]:
    """Sentences on runs that the page leaves out, and on trainings that have not ended."""
    words = []
    if left_out:
        words.append(
            f"Left out, because other inputs or variants lack the same fold or seed, or these lack one: "
            f"{_listed([str(run) for run in left_out])}."
        )
    if under_way:
        words.append(f"Not yet trained: {_listed(under_way)}.")
    return words


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
