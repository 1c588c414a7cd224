"""The check that clips decode to their end, before anything is made of them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from stp.data.index import Clip
from stp.system.progress import progress
from stp.video.decoding import UndecodableError, examine_damaged_video

Found = TypeVar("Found")


@dataclass(frozen=True)
class BadVideo:
    """A clip that does not decode to its end without an error, why, and the number of its frames that decode."""

    clip: Clip
    reason: str
    frames: int = 0

    def __str__(self) -> str:
        return f"{self.clip.path}: {self.reason}"


def check_video(clip: Clip) -> Clip | BadVideo:
    """Decode a clip to the end: the clip with its number of frames, or why it is unusable."""
    try:
        facts = examine_damaged_video(clip.path, clip.part)
    except UndecodableError as error:
        return BadVideo(clip, str(error))
    return BadVideo(clip, facts.damage, facts.frames) if facts.damage else replace(clip, frames=facts.frames)


def examine_clips(clips: Sequence[Clip], look: Callable[[Clip], Found], threads: int = 1) -> list[Found]:
    """The results of `look` for every clip, in the order given, with a progress bar."""
    with ThreadPoolExecutor(threads) as pool:
        return list(progress(pool.map(look, clips), total=len(clips), desc="check", unit="clip"))


def check_videos(
    clips: Sequence[Clip],
    threads: int = 1,
    check: Callable[[Clip], Clip | BadVideo] = check_video,
    use_damaged: bool = False,
) -> tuple[list[Clip], list[BadVideo]]:
    """Check every clip: good ones with their number of frames, and bad ones, both in the order given.

    With `use_damaged`, bad ones of which frames decode are among the good ones, too.
    """
    good: list[Clip] = []
    bad: list[BadVideo] = []
    for found in examine_clips(clips, check, threads):
        if isinstance(found, BadVideo):
            bad.append(found)
            if use_damaged and found.frames:
                good.append(replace(found.clip, frames=found.frames))
        else:
            good.append(found)
    return good, bad
