"""PEV, the paper's micro actions (Yonetani, Kitani and Sato, CVPR 2016): NNNNN_f.mp4 shows the first person's view of
clip NNNNN, NNNNN_s.mp4 the second person's, in folders of classes.

The labels come from the folders or, where folders name no class, from the lists of Li, Cai and Zheng (CVPR 2019),
trainlistK.txt and testlistK.txt with lines `NNNNN_f LABEL`, which also hold an official partition into three folds.
"""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from stp.data.index import Clip, check_ids
from stp.datasets.lists import read_list
from stp.datasets.pev_persons import read_pairs
from stp.errors import UserError

OPTIONS: dict[str, tuple[str | bool, ...]] = {
    "view": ("second", "first"),
    "with_none": (False, True),
    "complete": (True, False),
}
# Clips of each class (paper section 4.1) in the paper's order; it leaves out the last, whose clips show no action.
COUNTS = {
    "pointing": 182,
    "attention": 97,
    "positive": 159,
    "negative": 40,
    "passing": 119,
    "receiving": 143,
    "gesture": 171,
    "none": 315,
}
LISTED = ("pointing", "attention", "passing", "receiving", "positive", "negative", "gesture", "none")  # labels 0 to 7
FOLDS = (1, 2, 3)
NAME = re.compile(r"(?P<number>\d{5})_(?P<view>[fs])\.mp4", re.IGNORECASE)


def find_clips(
    videos: Path, lists: Path | None = None, view: str = "second", with_none: bool = False, complete: bool = True
) -> list[Clip]:
    """Clips of one view, by class in the paper's order, then number; id NNNNN_s or NNNNN_f.

    Those of the second person name the first person's video of the same number, where it is there. The group is the
    pair of people, where a pid.txt gives it (`read_pairs`). `split` holds the lists' partition.

    Args:
        videos: folder of the class folders, at any depth. A folder's class is the one whose name it contains as a
            word, in letters of any case; of nested folders the innermost counts.
        lists: folder of trainlistK.txt and testlistK.txt; None goes by folders alone.
        view: second (paper) or first.
        with_none: whether clips without an action are an eighth class.
        complete: insist on the published number of clips of each class; else take what is there.

    Raises:
        UserError: nothing there, a clip without a class or with two, or with two first person's videos, a wrong list or
            pid.txt, or other counts.
    """
    if not videos.is_dir():
        raise UserError(f"dataset.path: folder '{videos}' does not exist; name the folder that holds PEV's videos")
    found = [(path, match) for path in videos.rglob("*") if (match := NAME.fullmatch(path.name))]
    chosen = sorted((match["number"], path) for path, match in found if match["view"].lower() == view[0])
    firsts = sorted((match["number"], str(path)) for path, match in found if match["view"].lower() == "f")
    if not chosen:
        raise UserError(f"dataset.path: no NNNNN_{view[0]}.mp4 of PEV below '{videos}'")
    if view == "second":
        check_ids([Clip(f"{number}_f", path, "") for number, path in firsts])
    first_persons = dict(firsts) if view == "second" else {}
    listed = _read_lists(lists) if lists else {}
    pairs = read_pairs(videos, [(path, match["number"]) for path, match in found])
    clips = []
    for number, path in chosen:
        label = _label(path, videos, number, listed)
        if label != "none" or with_none:
            split = ";".join(listed[number][1:]) if number in listed else ""
            first, group = first_persons.get(number, ""), pairs.get(number, "")
            clips.append(Clip(f"{number}_{view[0]}", str(path), label, group, split, first_person=first))
    if complete:
        _check_complete(clips, with_none, {number for number, _ in chosen})
    return sorted(clips, key=lambda clip: list(COUNTS).index(clip.label))  # stable: numbers stay in order


def _label(path: Path, videos: Path, number: str, listed: dict[str, tuple[str, ...]]) -> str:
    """The class of a clip by its folders and the lists, which must agree where both name one."""
    if listed and number not in listed:
        raise UserError(f"'{path}' is in no list of dataset.lists: remove it or complete the lists")
    by_list = listed[number][0] if listed else ""
    for folder in reversed(path.relative_to(videos).parts[:-1]):
        words = COUNTS.keys() & set(re.findall("[a-z]+", folder.casefold()))
        if len(words) == 1:
            (label,) = words
            if by_list and label != by_list:
                raise UserError(f"'{path}' lies in a folder of '{label}', but dataset.lists has it as '{by_list}'")
            return label
    if not by_list:
        raise UserError(
            f"'{path}' lies in no folder that names one of {', '.join(COUNTS)}: rename its folder, or name in "
            "dataset.lists the folder of trainlist1.txt, which has the labels"
        )
    return by_list


def _read_lists(lists: Path) -> dict[str, tuple[str, ...]]:
    """Class and the three folds' words of each number."""
    labels: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    for fold in FOLDS:
        for word in ("train", "test"):
            path = lists / f"{word}list{fold}.txt"
            for name, label in read_list(path).items():
                if not re.fullmatch(r"\d{5}_[fs]", name) or label not in set("01234567"):
                    raise UserError(
                        f"{path}: '{name} {label}' is not of the form NNNNN_f LABEL, 0 to 7; fetch it again"
                    )
                if labels.setdefault(name[:5], LISTED[int(label)]) != LISTED[int(label)]:
                    raise UserError(f"{path}: '{name}' has another label than in the other lists; fetch them again")
                words.setdefault(name[:5], []).append(word)
                if len(words[name[:5]]) != fold:
                    raise UserError(f"{path}: '{name}' is not once in each fold's two lists; fetch them again")
    for number, chosen in words.items():
        if len(chosen) != len(FOLDS):
            raise UserError(f"dataset.lists: '{number}_f' is not once in each fold's two lists; fetch them again")
    return {number: (labels[number], *words[number]) for number in words}


def _check_complete(clips: list[Clip], with_none: bool, numbers: Collection[str]) -> None:
    """Refuse other counts than the published ones, class by class, with the numbers that have no file."""
    counts = Counter(clip.label for clip in clips)
    expected = {label: count for label, count in COUNTS.items() if label != "none" or with_none}
    wrong = [f"{label} {counts[label]} of {count}" for label, count in expected.items() if counts[label] != count]
    if not wrong:
        return
    absent = [number for number in map("{:05d}".format, range(sum(COUNTS.values()))) if number not in numbers]
    files = f"; no file of {', '.join(absent[:5])}{f' and {len(absent) - 5} more' if len(absent) > 5 else ''}"
    raise UserError(
        f"PEV has {sum(expected.values())} clips, here are {len(clips)}: {', '.join(wrong)}{files if absent else ''}: "
        "fix the folders, or set dataset.options.complete: false to use what is there"
    )
