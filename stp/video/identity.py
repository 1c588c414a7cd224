"""The identity of a clip's content, by which work on videos that have not changed is not done again."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from stp.data.index import Clip
from stp.video.checking import BadVideo, check_video

DECODERS = ("av", "opencv-contrib-python-headless")
DIGITS, DECODER_DIGITS = 16, 4  # hexadecimal, of content and of versions


def _decoders() -> str:
    """The versions of the packages that decode; another one may decode other frames."""
    found = []
    for name in DECODERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} none")
    return ", ".join(found)


@lru_cache(maxsize=1)  # many clips may be parts of one video, one after another
def _file_digest(path: str, size: int, time: int) -> str:
    """The sha256 of a file that has this size and time of writing."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(clip: Clip) -> str:
    """16 hexadecimal digits for the bytes of a clip's video and boxes and for its part, 4 for the decoders' versions.

    Neither the path nor the time of writing counts. Raises an OSError if a file cannot be read.
    """
    parts = []
    for path in (clip.path, clip.boxes):
        if path:
            status = os.stat(path)
            parts.append(_file_digest(path, status.st_size, status.st_mtime_ns))
    if clip.part:
        parts.append(f"{clip.start} {clip.end}")
    content, decoders = (hashlib.sha256(text.encode()).hexdigest() for text in ("\n".join(parts), _decoders()))
    return content[:DIGITS] + decoders[:DECODER_DIGITS]


def has_changed(clip: Clip) -> bool:
    """True if a clip's video or boxes have other bytes than when its digest was made; False if one cannot be read."""
    try:
        return clip.digest != "" and content_digest(clip)[:DIGITS] != clip.digest[:DIGITS]
    except OSError:
        return False  # whoever reads it next says what is wrong


def check_changed(clip: Clip, known: Mapping[str, int]) -> Clip | BadVideo:
    """The clip with its digest and number of frames, or why it is unusable.

    A video is decoded to its end as by `check_video`, unless `known`, the frames by digest, has the number.
    """
    try:
        digest = content_digest(clip)
    except OSError:
        return check_video(clip)  # says what is wrong
    if digest in known:
        return replace(clip, frames=known[digest], digest=digest)
    checked = check_video(clip)
    return checked if isinstance(checked, BadVideo) else replace(checked, digest=digest)
