"""UT-Interaction (Ryoo and Aggarwal, SDHA 2010 contest), segmented clips: set1 and set2, files N_SEQ_LABEL.avi.

The group is the recording SEQ (1 to 10 is set 1, 11 to 20 is set 2), whose clips share place, people and camera.
"""

import re
from pathlib import Path

from stp.data.index import Clip
from stp.errors import UserError

CLASSES = ("handshake", "hug", "kick", "point", "punch", "push")
NAME = re.compile(r"(?P<number>\d+)_(?P<recording>\d+)_(?P<label>[0-5])\.avi")


def find_clips(folder: Path) -> list[Clip]:
    """Clips below `folder` (one set, or the folder of both), in the order of class, recording and number."""
    if not folder.is_dir():
        raise UserError(f"dataset.path: folder '{folder}' does not exist; name the folder that holds set1 and set2")
    found = [(path, match) for path in folder.rglob("*.avi") if (match := NAME.fullmatch(path.name))]
    if not found:
        raise UserError(f"dataset.path: no N_SEQ_LABEL.avi of UT-Interaction below '{folder}'")
    found.sort(key=lambda item: tuple(int(item[1][key]) for key in ("label", "recording", "number")))
    return [
        Clip(path.stem, str(path), CLASSES[int(match["label"])], f"recording{int(match['recording']):02d}")
        for path, match in found
    ]
