"""Official lists of a data set: text files of lines `NAME WORD`, and the check that they agree with the videos."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from stp.errors import UserError
from stp.system.tables import read_text


def read_list(path: Path) -> dict[str, str]:
    """The word of each name, in the order of the lines; names may hold blanks.

    Raises:
        UserError: there is no such file, a line is no `NAME WORD`, or a name stands there twice.
    """
    if not path.is_file():
        raise UserError(f"dataset.lists: list '{path}' is missing; put the data set's official lists there")
    words: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        parts = line.strip().rsplit(maxsplit=1)
        if len(parts) != 2:
            raise UserError(f"{path}: line {number}, '{line.strip()}', is not of the form NAME WORD; fetch it again")
        if parts[0] in words:
            raise UserError(f"{path}: line {number} has '{parts[0]}' for the second time; fetch it again")
        words[parts[0]] = parts[1]
    return words


def check_agreement(found: Collection[str], listed: Mapping[str, str], complete: bool) -> None:
    """Refuse videos on disk that no list has and, where the data set must be complete, listed clips that are absent.

    Args:
        found: names of the videos on disk.
        listed: class of each listed name.
        complete: every listed clip must be there.
    """
    if unlisted := sorted(set(found) - set(listed)):
        raise UserError(f"videos that no official list has: {len(unlisted)}, as '{unlisted[0]}'; remove them")
    if complete and (absent := sorted(set(listed) - set(found))):
        counts = Counter(listed[name] for name in absent)
        by_class = ", ".join(f"{counts[label]} of {label}" for label in sorted(counts))
        raise UserError(
            f"{len(absent)} of {len(listed)} listed clips are not there, as '{absent[0]}' ({by_class}): add them, or "
            "set dataset.options.complete: false to go on without them"
        )
