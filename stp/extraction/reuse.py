"""Clips that are taken over from an earlier file of a shard instead of being made again.

Beside a file that is kept lies a second name of it, a hard link FILE.kept, which takes no room of its own. Where the
file is to be made again, the clips are copied from there whose sources and parameters are the same. What a clip's
fields are made from is stored with it: the digest of its video and boxes (`stp.video.identity`), as /source/CLIP.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stp.config import StorageFormat
from stp.data.hdf5 import arrays_below, offset, read_array, stored_digest, verify
from stp.data.index import Index, read_index
from stp.data.shards import ShardWriter
from stp.errors import UserError
from stp.system.files import complete_file
from stp.system.versions import versions

log = logging.getLogger(__name__)

SOURCE = "source"


def kept_name(path: Path) -> Path:
    """The second name by which a file is kept."""
    return path.with_name(f"{path.name}.kept")


def keep_file(path: Path) -> None:
    """Give a complete file its second name, which stays when the file is removed or replaced.

    Where the file system has no hard links, nothing is kept, and later all is made again.
    """
    try:
        with complete_file(kept_name(path)) as temporary:
            temporary.unlink(missing_ok=True)
            os.link(path, temporary)
    except OSError as error:
        log.info("%s: is not kept for later (%s)", path, error)


def source_of(digest: str) -> np.ndarray:
    """A digest in hexadecimal digits as it is stored: its bytes, uint8 (n,)."""
    return np.frombuffer(bytes.fromhex(digest), np.uint8)


@dataclass(frozen=True)
class Wanted:
    """A file of a shard to make: its modality and parameters, and the digest of each clip, empty where unknown."""

    path: Path
    modality: str
    parameters: dict[str, Any]
    storage: StorageFormat
    digests: Mapping[str, str]

    def attributes(self) -> dict[str, str]:
        """The attributes that a file with the same parameters has."""
        storage = {"storage": asdict(self.storage)} if self.storage.format == "jpeg" else {}
        parameters = json.dumps(self.parameters | storage, sort_keys=True)
        return {"modality": self.modality, "parameters": parameters, "versions": json.dumps(versions(), sort_keys=True)}


@dataclass(frozen=True)
class Earlier:
    """The clips of an earlier file that are as they would be made now; `whole` if these are all clips of both files."""

    file: h5py.File | None
    clips: frozenset[str] = frozenset()
    whole: bool = False

    def take_over(self, clip: str, shard: ShardWriter) -> bool:
        """Copy a clip, if it is one of these, into the shard that is being written; True if it was."""
        if self.file is None or clip not in self.clips:
            return False
        shard.copy(self.file, clip)
        return True


@contextmanager
def earlier(wanted: Wanted) -> Iterator[Earlier]:
    """The file that was kept under the second name of a wanted one, open while the block runs."""
    path = kept_name(wanted.path)
    with ExitStack() as stack:
        found = Earlier(None)
        if path.is_file():
            try:
                found = _compare(stack.enter_context(h5py.File(path, "r", locking=False)), path, wanted)
            except Exception as error:  # h5py raises many kinds for damaged and foreign files
                log.warning("%s: cannot be used, all clips are made again (%s)", path, error)
            else:
                log.info("%s: %d of %d clips are as before", wanted.path, len(found.clips), len(wanted.digests))
        yield found


def _compare(file: h5py.File, path: Path, wanted: Wanted) -> Earlier:
    """The clips of an earlier file that are as wanted."""
    attributes = wanted.attributes()
    if {name: str(file.attrs[name]) for name in attributes} != attributes:
        return Earlier(file)
    mapped = np.memmap(path, np.uint8, "r")
    made_from = (
        {name: read_array(data, len(mapped)).tobytes() for name, data in arrays_below(file, SOURCE)}
        if SOURCE in file
        else {}
    )
    clips = frozenset(
        name
        for name, digest in wanted.digests.items()
        if digest and made_from.get(name) == bytes.fromhex(digest) and _is_intact(file, name, mapped)
    )
    return Earlier(file, clips, whole=clips == wanted.digests.keys() == made_from.keys())


def _is_intact(file: h5py.File, clip: str, mapped: np.ndarray) -> bool:
    """True if the clip's arrays have their digests; a damaged one must not be taken over."""
    try:
        for group in file:
            for _, data in arrays_below(file[group], clip) if clip in file[group] else ():
                first = offset(data, len(mapped)) if data.size else 0  # an empty one has no place
                verify(mapped[first : first + data.nbytes], stored_digest(data))
    except ValueError as error:
        log.warning("%s: clip '%s' is made again (%s)", file.filename, clip, error)
        return False
    return True


def restore(path: Path) -> None:
    """Bring a file that was kept back under its own name, with the time of now.

    It is copied where it cannot be linked: results may have been moved to a file system without hard links, and systems
    forbid links to other users' files.
    """
    with complete_file(path) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(kept_name(path), temporary)
        except OSError:
            shutil.copyfile(kept_name(path), temporary)
        os.utime(temporary)


def earlier_index(path: Path) -> Index | None:
    """The index that was kept under the second name of `path`; None if there is none, or it cannot be read."""
    kept = kept_name(path)
    if not kept.is_file():
        return None
    try:
        return read_index(kept)
    except UserError as error:
        log.warning("all videos are decoded again: %s", error)
        return None
