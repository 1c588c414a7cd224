"""HMDB51 (Kuehne et al. 2011): CLASS/NAME.avi, and three official splits in lists CLASS_test_splitK.txt.

A line of a list is `NAME.avi N` with N = 1 for train, 2 for test and 0 for neither.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from stp.data.index import Clip
from stp.datasets import folder as folder_importer
from stp.datasets.lists import check_agreement, read_list
from stp.errors import UserError

OPTIONS = {"complete": (True, False)}
CLASSES, CLIPS = 51, 6766
SPLITS = (1, 2, 3)
WORDS = {"1": "train", "2": "test", "0": "unused"}
PER_CLASS = {"train": 70, "test": 30}  # of each split


def find_clips(videos: Path, lists: Path | None = None, complete: bool = True) -> list[Clip]:
    """Clips by class and name, id CLASS/NAME, no groups; `split` holds the three splits' words if there are lists.

    Args:
        videos: folder of the class folders.
        lists: folder of the lists; without them there are no official splits.
        complete: insist on all 6,766 clips and, in each list, on 70 train and 30 test clips; else take what is there.

    Raises:
        UserError: a list is missing, or lists, disk and the published counts do not agree.
    """
    clips = folder_importer.find_clips(videos)
    classes = list(dict.fromkeys(clip.label for clip in clips))
    if lists:
        splits = _read_splits(lists, classes, complete)
        names = [f"{clip.label}/{Path(clip.path).name}" for clip in clips]
        check_agreement(names, {name: name.split("/")[0] for name in splits}, complete)
        clips = [replace(clip, split=";".join(splits[name])) for clip, name in zip(clips, names, strict=True)]
    if complete and (len(clips), len(classes)) != (CLIPS, CLASSES):
        raise UserError(
            f"dataset.path: '{videos}' has {len(clips)} clips of {len(classes)} classes, HMDB51 {CLIPS} of {CLASSES}: "
            "add or remove what differs, or set dataset.options.complete: false"
        )
    return clips


def _read_splits(lists: Path, classes: list[str], complete: bool) -> dict[str, list[str]]:
    """Words of the three splits by CLASS/NAME.avi: of all listed classes, or of those on disk alone."""
    suffix = "_test_split1.txt"
    if complete:
        classes = sorted({path.name.removesuffix(suffix) for path in lists.glob(f"[!.]*{suffix}")} | set(classes))
    splits: dict[str, list[str]] = {}
    for label in classes:
        for number in SPLITS:
            path = lists / f"{label}_test_split{number}.txt"
            codes = read_list(path)
            if wrong := set(codes.values()) - WORDS.keys():
                raise UserError(f"{path}: '{min(wrong)}' is none of 0, 1 and 2; fetch the list again")
            counts = Counter(WORDS[code] for code in codes.values())
            for word, expected in PER_CLASS.items():
                if complete and counts[word] != expected:
                    raise UserError(f"{path}: {counts[word]} {word} clips, HMDB51 has {expected}; fetch the list again")
            for name, code in codes.items():
                splits.setdefault(f"{label}/{name}", []).append(WORDS[code])
    for name, words in splits.items():
        if len(words) != len(SPLITS):
            raise UserError(f"dataset.lists: '{name}' is not in all of its class's lists; fetch them again")
    return splits
