"""Splits: which clips train and which test in each fold, written as csv before any training."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stp.config import Scheme
from stp.data.index import Index
from stp.errors import UserError
from stp.system.files import complete_file
from stp.system.tables import read_table

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORDS = ("train", "test", "unused", "hidden")


def make_folds(index: Index, scheme: Scheme, folds: int, seed: int) -> list[list[str]]:
    """For each fold, the word (train, test, unused or hidden) of every clip of the index.

    Clips whose label is hidden neither train nor test and are `hidden` in every fold. The schemes divide the others:

    random                stratified by class, as evenly as the classes allow (paper section 4.1: random thirds)
    balanced              like random, and as evenly in every group and every class of a group, so that who acts says
                          nothing about the class; groups are on both sides of a fold (`balanced_folds`)
    grouped               like random, but no group (actor, recording) is on both sides of a fold
    leave_one_group_out   fold k tests the k-th group in the order of names; a test side may lack a class
    official              by the index's `split` column, which has one word for each fold

    Raises:
        UserError: a class has too few clips or is missing from a side of a fold, the index lacks groups or official
            splits, or their number is not `folds`.
    """
    known = Index(tuple(clip for clip in index.clips if clip.label))
    if not known.clips:
        raise UserError("splits: no clip of the index has a label")
    words = _folds_of_labelled(known, scheme, folds, seed)
    if len(known.classes) == 1:
        raise UserError(f"splits: '{known.classes[0]}' is the only class; training needs two or more")
    folds_of_all = []
    for fold_words in words:
        word_of = {clip.clip: word for clip, word in zip(known.clips, fold_words, strict=True)}
        folds_of_all.append([word_of.get(clip.clip, "hidden") for clip in index.clips])
    return folds_of_all


def _folds_of_labelled(index: Index, scheme: Scheme, folds: int, seed: int) -> list[list[str]]:
    if scheme == "official":
        words, fix = _official_folds(index, folds), "fix the official splits"
    elif scheme == "leave_one_group_out":
        words, fix = _folds_of_groups(index, folds), "add clips of it to another group or choose another splits.scheme"
    else:
        words, fix = _drawn_folds(index, scheme, folds, seed), "lower splits.folds or choose another splits.seed"
    for side in ("train",) if scheme == "leave_one_group_out" else ("test", "train"):
        for fold, fold_words in enumerate(words, start=1):
            present = {clip.label for clip, word in zip(index.clips, fold_words, strict=True) if word == side}
            if missing := sorted(set(index.classes) - present):
                raise UserError(f"splits: fold {fold} has no {side} clip of '{missing[0]}': {fix}")
    return words


def _drawn_folds(index: Index, scheme: Scheme, folds: int, seed: int) -> list[list[str]]:
    if folds < 2:
        raise UserError(f"splits.folds: {folds} with splits.scheme '{scheme}', which needs 2 or more")
    labels = np.array(index.labels)
    counts = np.bincount(labels)
    if counts.min() < folds:
        rare = index.classes[int(counts.argmin())]
        raise UserError(
            f"splits.folds: {folds} folds need {folds} clips of every class, but '{rare}' has {counts.min()}: "
            "lower splits.folds, add clips or remove the class"
        )
    # Imported here, because training and scoring read folds and would wait a second for scikit-learn and SciPy.
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if scheme == "balanced":
        numbers = balanced_folds(index, folds, seed)
        return [["test" if number == fold else "train" for number in numbers] for fold in range(folds)]
    if scheme == "random":
        chosen = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    else:
        groups = _groups(index, scheme)
        if len(set(groups)) < folds:
            raise UserError(f"splits.folds: {folds} folds of whole groups, but there are {len(set(groups))} groups")
        chosen = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    words = []
    for _, test in chosen:
        tested = set(test.tolist())
        words.append(["test" if i in tested else "train" for i in range(len(labels))])
    return words


def balanced_folds(index: Index, folds: int, seed: int) -> list[int]:
    """The fold that tests each clip, 0..folds - 1, so that groups and classes are spread evenly together.

    Every class of every group, every group, every class and the whole have the same number of clips in each fold, or
    numbers that differ by one. Such folds always exist: one share of n / folds of every cell, a class of a group, meets
    all these limits, the table of cells is a transportation problem, whose limits whole numbers can meet where shares
    do, and what is left for the other folds is the same problem again. Random costs of the cells choose one of the
    solutions. The folds depend on the seed and on ids, groups and labels of the clips, not on the clips' order.

    Raises:
        UserError: a clip has no group.
    """
    _groups(index, "balanced")
    rng = np.random.default_rng(seed)
    cells: dict[tuple[str, str], list[int]] = {}  # clips by group and class
    for i in sorted(
        range(len(index.clips)), key=lambda i: (index.clips[i].group, index.clips[i].label, index.clips[i].clip)
    ):
        cells.setdefault((index.clips[i].group, index.clips[i].label), []).append(i)
    queues = [rng.permutation(clips).tolist() for clips in cells.values()]
    sums = _sums(list(cells))
    numbers = [0] * len(index.clips)
    for fold in range(folds):
        taken = _share(np.array([len(queue) for queue in queues]), sums, folds - fold, rng)
        for queue, count in zip(queues, taken, strict=True):
            for _ in range(count):
                numbers[queue.pop()] = fold
    return numbers


def _sums(cells: Sequence[tuple[str, str]]) -> "csr_array":
    """The cells, groups, classes and the whole, a row each with 1 for every cell (group, class) in it."""
    from scipy.sparse import csr_array

    sets = [[("cell", cell), ("group", cell[0]), ("class", cell[1]), ("whole", "")] for cell in cells]
    number = {name: row for row, name in enumerate(dict.fromkeys(name for names in sets for name in names))}
    rows = [number[name] for names in sets for name in names]
    columns = np.repeat(np.arange(len(cells)), 4)
    return csr_array((np.ones(len(rows)), (rows, columns)))


def _share(counts: np.ndarray, sums: "csr_array", parts: int, rng: np.random.Generator) -> list[int]:
    """Clips of each cell for one of `parts` folds: of every sum, its number over `parts`, rounded up or down."""
    from scipy.optimize import LinearConstraint, milp

    totals = sums @ counts
    limits = LinearConstraint(sums, totals // parts, -(-totals // parts))
    solution = milp(rng.random(len(counts)), integrality=np.ones(len(counts)), constraints=limits)
    return [round(value) for value in solution.x]


def group_shares(index: Index, folds: Sequence[Sequence[str]]) -> tuple[float, float] | None:
    """How folds divide the classes within groups: two shares in percent, means over all tests of clips with groups.

    The first is the share of a test clip's class among the training clips of its group, the second among all clips of
    its group. If the first is lower, a network that recognises groups, such as people or places, learns from them to
    name other classes than the right one. None if no test clip has clips of its group to train from.
    """
    trained, whole = [], []
    every = Counter((clip.group, clip.label) for clip in index.clips)
    size = Counter(clip.group for clip in index.clips)
    for words in folds:
        clips = [clip for clip, word in zip(index.clips, words, strict=True) if word == "train"]
        cell, group = Counter((clip.group, clip.label) for clip in clips), Counter(clip.group for clip in clips)
        for clip, word in zip(index.clips, words, strict=True):
            if word == "test" and clip.group and group[clip.group]:
                trained.append(cell[clip.group, clip.label] / group[clip.group])
                whole.append(every[clip.group, clip.label] / size[clip.group])
    return (100 * float(np.mean(trained)), 100 * float(np.mean(whole))) if trained else None


def _groups(index: Index, scheme: Scheme) -> list[str]:
    """The group of every clip; UserError if a clip has none."""
    groups = [clip.group for clip in index.clips]
    if not all(groups):
        raise UserError(f"splits.scheme: '{scheme}' needs a group for every clip of the index; use 'random'")
    return groups


def _folds_of_groups(index: Index, folds: int) -> list[list[str]]:
    """One fold for each group, which is its test side."""
    groups = _groups(index, "leave_one_group_out")
    names = sorted(set(groups))
    if len(names) != folds:
        raise UserError(
            f"splits.folds: {folds} with splits.scheme 'leave_one_group_out', which makes one fold for each group, and "
            f"there are {len(names)}: set splits.folds to {len(names)}"
        )
    return [["test" if group == name else "train" for group in groups] for name in names]


def _official_folds(index: Index, folds: int) -> list[list[str]]:
    """Folds from the index's official splits, which have the form `word;word;...` for each clip."""
    table = [clip.split.split(";") for clip in index.clips]
    for clip, words in zip(index.clips, table, strict=True):
        if len(words) != folds or not set(words) <= set(WORDS):
            raise UserError(
                f"splits.scheme: 'official' with splits.folds {folds}, but clip '{clip.clip}' has the split "
                f"'{clip.split}'; allowed is one of {', '.join(WORDS)} for each fold, separated by ';'"
            )
    return [[words[fold] for words in table] for fold in range(folds)]


def write_fold(path: Path, index: Index, words: list[str]) -> None:
    """Write one fold as csv: clip, label, group, set."""
    with complete_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "label", "group", "set"])
        rows = zip(index.clips, words, strict=True)
        writer.writerows([clip.clip, clip.label, clip.group, word] for clip, word in rows)


def read_fold(path: Path, index: Index) -> list[str]:
    """The words of a fold in the order of the index.

    Raises:
        UserError: the file is no fold or one of another index, or uses a clip whose label is hidden.
    """
    names, rows = read_table(path)
    if not {"clip", "set"} <= set(names):
        raise UserError(f"{path}: not a fold: it lacks a column clip or set; make the splits again")
    if [row["clip"] for _, row in rows] != [clip.clip for clip in index.clips]:
        raise UserError(f"{path}: the clips are not those of the index; make the splits again")
    for (line, row), clip in zip(rows, index.clips, strict=True):
        where = f"{path}: line {line}, clip '{clip.clip}'"
        if row["set"] not in WORDS:
            raise UserError(f"{where}: set '{row['set']}' is none of {', '.join(WORDS)}; make the splits again")
        if (row.get("label", clip.label), row.get("group", clip.group)) != (clip.label, clip.group):
            raise UserError(f"{where}: label or group are not those of the index; make the splits again")
        if not clip.label and row["set"] in ("train", "test"):
            raise UserError(f"{where}: set '{row['set']}', but the index has no label for it; make the splits again")
    return [row["set"] for _, row in rows]
