"""PEV's pid.txt: who acts in each clip. Persons 0 and 1, 2 and 3, 4 and 5 talked to each other."""

import re
from collections.abc import Sequence
from pathlib import Path

from stp.errors import UserError
from stp.system.tables import read_text

CLIPS = 1226
PERSONS = tuple("012345")
NAME = re.compile(r"(?P<number>\d{5})(_[fs])?(\.mp4)?", re.IGNORECASE)
FORM = (
    "a line is 'NNNNN PERSON' or 'NNNNN PERSON PERSON', or a file has the persons alone, one line a clip in the order "
    "of numbers; persons are 0 to 5"
)


def read_pairs(videos: Path, clips: Sequence[tuple[Path, str]]) -> dict[str, str]:
    """The pair of people of each clip's number, as `pair01`, from every pid.txt below a folder; empty without any.

    The file's form is not published, so two are taken. Either each line starts with the clip (NNNNN, NNNNN_f, with or
    without .mp4 and folders before it), followed by one person or both; or lines have persons alone, one line for each
    clip beside or below the file, or for each of PEV's 1,226 clips, in the order of numbers. Blanks, commas and
    semicolons separate.

    Args:
        videos: folder of the data set.
        clips: path and number of every video, of both views.

    Raises:
        UserError: a pid.txt of neither form, persons who did not talk to each other, or a clip without persons.
    """
    pairs: dict[str, str] = {}
    files = sorted(videos.rglob("pid.txt"))
    for file in files:
        for number, pair in _read_file(file, sorted({number for path, number in clips if file.parent in path.parents})):
            if pairs.setdefault(number, pair) != pair:
                raise UserError(f"{file}: clip {number} has people of two pairs; a clip is of 0-1, 2-3 or 4-5")
    if files and (absent := sorted({number for _, number in clips} - pairs.keys())):
        raise UserError(f"{files[0]}: has no line for clip {absent[0]}, one of {len(absent)}; {FORM}")
    return pairs


def _read_file(file: Path, numbers: Sequence[str]) -> list[tuple[str, str]]:
    """Number and pair of each line; `numbers` are those of the clips beside and below the file, sorted."""
    text = read_text(file)
    rows = [re.split(r"[\s,;]+", line.strip(" \t,;")) for line in text.rstrip().splitlines()]
    named = [NAME.fullmatch(row[0].replace("\\", "/").rsplit("/", 1)[-1]) for row in rows]
    if any(named):
        keys = [match["number"] if match else "" for match in named]
        rows = [row[1:] for row in rows]
    elif len(rows) in (len(numbers), CLIPS):
        keys = list(numbers) if len(rows) == len(numbers) else [f"{number:05d}" for number in range(CLIPS)]
    else:
        raise UserError(f"{file}: {len(rows)} lines for {len(numbers)} clips; {FORM}")
    found = []
    for line, (key, persons) in enumerate(zip(keys, rows, strict=True), start=1):
        pairs = {PERSONS.index(person) // 2 for person in persons if person in PERSONS}
        if not key or len(persons) not in (1, 2) or not set(persons) <= set(PERSONS):
            raise UserError(f"{file}: line {line}, '{' '.join([key, *persons]).strip()}', cannot be read; {FORM}")
        if len(pairs) != 1:
            raise UserError(f"{file}: line {line}: persons {' and '.join(persons)} did not talk to each other; {FORM}")
        (pair,) = pairs
        found.append((key, f"pair{2 * pair}{2 * pair + 1}"))
    return found
