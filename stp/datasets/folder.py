"""Any user's own videos, one folder a class: CLASS/clip.avi."""

from pathlib import Path

from stp.data.index import Clip
from stp.errors import UserError
from stp.video.decoding import VIDEO_SUFFIXES, is_video

BOXES_SUFFIX = ".boxes.csv"


def class_folders(folder: Path) -> list[Path]:
    """The visible sub-folders of a data set, sorted by name; UserError where there are none."""
    if not folder.is_dir():
        raise UserError(f"dataset.path: folder '{folder}' does not exist; name the folder that holds the videos")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise UserError(f"dataset.path: '{folder}' has no class folders; put the videos at CLASS/clip.avi below it")
    return classes


def find_clips(folder: Path) -> list[Clip]:
    """Clips of CLASS/clip.avi; id CLASS/clip, no groups, classes in the order of their names.

    CLASS/clip.boxes.csv beside a video holds its person boxes (`stp.data.boxes`).

    Raises:
        UserError: the folder or a class in it has no videos, or boxes have no video.
    """
    clips: list[Clip] = []
    for class_folder in class_folders(folder):
        videos = sorted(entry for entry in class_folder.iterdir() if is_video(entry))
        if not videos:
            suffixes = " ".join(sorted(VIDEO_SUFFIXES))
            raise UserError(f"class folder '{class_folder}' has no video ({suffixes}): add some or remove the folder")
        boxes = {path.name.removesuffix(BOXES_SUFFIX): str(path) for path in class_folder.glob(f"[!.]*{BOXES_SUFFIX}")}
        if lonely := boxes.keys() - {video.stem for video in videos}:
            path = boxes[min(lonely)]
            raise UserError(f"'{path}' has no video beside it: boxes are named as their video, NAME{BOXES_SUFFIX}")
        for video in videos:
            name = f"{class_folder.name}/{video.stem}"
            clips.append(Clip(name, str(video), class_folder.name, boxes=boxes.get(video.stem, "")))
    return clips
