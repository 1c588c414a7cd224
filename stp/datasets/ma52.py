"""Micro-Action 52 (Guo et al. 2024): train/, val/ and test/ with NAME.mp4, and their lists of lines `NAME.mp4 LABEL`.

The labels of test are hidden: its lines say 0, which means nothing. A name's first field is the subject, which test's
names do not have.
"""

from bisect import bisect_left
from pathlib import Path

from stp.data.index import Clip
from stp.datasets.lists import check_agreement, read_list
from stp.errors import UserError
from stp.system.tables import read_text
from stp.video.decoding import is_video

OPTIONS = {"complete": (True, False)}
COUNTS = {"train": 11250, "val": 5586, "test": 5586}
WORDS = {"train": "train", "val": "test", "test": "hidden"}
CLASSES = 52
BODY_PARTS = ("body", "head", "upper limb", "lower limb", "body-hand", "head-hand", "leg-hand")
LAST_LABELS = (4, 10, 23, 31, 37, 47, 51)  # of each body part's actions


def find_clips(videos: Path, lists: Path | None = None, complete: bool = True) -> list[Clip]:
    """Clips by label, then set and name, the hidden ones last; id NAME.mp4, as lists and submissions have it.

    The group is the subject, `coarse` the body part. `split`: train trains, val tests, test is hidden.

    Args:
        videos: folder of train, val and test.
        lists: folder of SET_list_videos.txt and label_name.txt.
        complete: insist on all 22,422 clips; else take what is there, which must have every class.

    Raises:
        UserError: a list is missing or wrong, lists and disk do not agree, or a class has no clip.
    """
    if not lists:
        raise UserError(
            "dataset.lists: MA-52 needs its lists; name the folder of train_list_videos.txt, label_name.txt"
        )
    if not videos.is_dir():
        raise UserError(f"dataset.path: folder '{videos}' does not exist; name the folder of train, val and test")
    names = _read_names(lists / "label_name.txt")
    found: list[tuple[int, Clip]] = []
    for part, word in WORDS.items():
        labels = _read_labels(lists / f"{part}_list_videos.txt", part, complete)
        folder = videos / part
        paths = sorted(path for path in folder.iterdir() if is_video(path)) if folder.is_dir() else []
        classes = {name: part if word == "hidden" else names[label] for name, label in labels.items()}
        check_agreement([path.name for path in paths], classes, complete)
        for path in paths:
            if word == "hidden":
                found.append((CLASSES, Clip(path.name, str(path), "", split=word)))
            else:
                label, subject = labels[path.name], path.name.split("_")[0]
                body_part = BODY_PARTS[bisect_left(LAST_LABELS, label)]
                found.append((label, Clip(path.name, str(path), names[label], subject, word, coarse=body_part)))
    # Classes are numbered as they come, and submissions give numbers: a class without a clip would shift them.
    if missing := set(range(CLASSES)) - {label for label, _ in found}:
        raise UserError(f"dataset.path: '{videos}' has no clip of '{names[min(missing)]}'; MA-52 needs all 52 classes")
    return [clip for _, clip in sorted(found, key=lambda item: item[0])]  # stable: set and name stay in order


def _read_names(path: Path) -> list[str]:
    """Class names by label: lines `LABEL NAME`, of which a name may have several words."""
    if not path.is_file():
        raise UserError(f"dataset.lists: list '{path}' is missing; put the data set's official lists there")
    rows = [line.split(maxsplit=1) for line in read_text(path).splitlines() if line.strip()]
    if [row[0] for row in rows] != [str(label) for label in range(CLASSES)] or any(len(row) != 2 for row in rows):
        raise UserError(f"{path}: lines are not LABEL NAME with the labels 0 to {CLASSES - 1}; fetch it again")
    return [row[1].strip() for row in rows]


def _read_labels(path: Path, part: str, complete: bool) -> dict[str, int]:
    """Label of each listed clip."""
    words = read_list(path)
    allowed = {str(label) for label in range(CLASSES)}
    for name, word in words.items():
        if word not in allowed:
            raise UserError(f"{path}: '{name}' has the label '{word}'; allowed are 0 to {CLASSES - 1}; fetch it again")
    if complete and len(words) != COUNTS[part]:
        raise UserError(
            f"{path}: {len(words)} clips, MA-52 has {COUNTS[part]} in {part}; fetch it again, or set "
            "dataset.options.complete: false"
        )
    return {name: int(word) for name, word in words.items()}
