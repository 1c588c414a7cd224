"""Locked files: places on GPUs, and other things that only one process of a machine may hold at a time."""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stp.errors import UserError
from stp.system.files import NO_LOCKS

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 2.0


def open_lock(path: Path) -> int:
    """A file descriptor of a lock file that all users' processes can open; the file is created if it does not exist."""
    if path.exists():  # Linux may refuse to open another user's file for creation
        return os.open(path, os.O_RDONLY)
    file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    with suppress(PermissionError):  # another user was faster
        os.fchmod(file, 0o644)  # whatever the user's mask is
    return file


def lock(file: int, operation: int, path: Path) -> None:
    """Lock an open file; raise a BlockingIOError if another process holds it, a UserError if no file can be locked."""
    try:
        fcntl.flock(file, operation)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise UserError(
            f"{path}: its file system grants no locks, by which jobs share GPUs, memory and folders; "
            "set the environment variable TMPDIR to a folder on a local disk"
        ) from None


@contextmanager
def one_at_a_time(purpose: str) -> Iterator[None]:
    """Let only one process of this machine into the block for this purpose at a time; others wait."""
    path = Path(tempfile.gettempdir()) / f"stp-{purpose}.lock"
    file = open_lock(path)
    try:
        lock(file, fcntl.LOCK_EX, path)
        yield
    finally:
        os.close(file)


@contextmanager
def reserved_slot(gpus: Sequence[str], share: int, folder: Path) -> Iterator[int]:
    """Reserve one of the `share` places of a GPU; the GPU's position in `gpus`, which are names. Emptier GPUs first.

    A place is a locked file in `folder`. The system frees it when the process ends, however it ends. Waits while all
    places are taken.
    """
    places = [(gpu, place) for place in range(share) for gpu in range(len(gpus))]
    waiting = False
    while True:
        for gpu, place in places:
            path = folder / f"stp-gpu{gpus[gpu]}-{place}.lock"
            file = open_lock(path)
            try:
                lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
            except BlockingIOError:
                os.close(file)
                continue
            try:
                yield gpu
            finally:
                os.close(file)
            return
        if not waiting:
            log.info("waiting for a free GPU: all %d have %d runs", len(gpus), share)
            waiting = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def taken_places(gpu: str, folder: Path) -> int:
    """The number of runs that hold a place of `reserved_slot` on the GPU of this name."""
    taken = 0
    for path in folder.glob(f"stp-gpu{gpu}-*.lock"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                taken += 1
            except OSError:  # no locks here
                continue
    return taken
