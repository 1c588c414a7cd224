"""Files and folders that appear under their final name only when they are complete."""

import errno
import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

from stp.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
LONGEST_NAME = 255  # bytes, on all common file systems
PARTS = count()
BEGINNINGS = {  # bytes that files of a kind begin with
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"PK\x03\x04": "an archive, as of torch",
    b"\x89PNG\r\n\x1a\n": "a png",
    b"%PDF": "a pdf",
}


def _numbering() -> str:
    """The numbering that process numbers belong to: containers of one host name have numberings of their own.

    Outside containers it stays the same when the machine starts again.
    """
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        return ""


MACHINE = hashlib.sha256(f"{platform.node()} {_numbering()}".encode()).hexdigest()[:6]
LEFT_PART = re.compile(r"^\..*\.(?P<machine>[0-9a-f]{6})-(?P<process>\d+)-\d+\.part(\.\w+)?$", re.DOTALL)


def paths_of(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """One path or several as a list; a text is one path, although Python takes it for a row of letters."""
    return [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]


def kind_of_file(path: Path) -> str:
    """The kind of a file by its first bytes, in words such as "a text" or "an HDF5 file"; empty if they do not say."""
    if path.is_dir():
        return "a folder"
    with path.open("rb") as file:
        beginning = file.read(512)
    for bytes_of_kind, kind in BEGINNINGS.items():
        if beginning.startswith(bytes_of_kind):
            return kind
    printed = all(byte >= 32 or byte in b"\t\n\r\f" for byte in beginning)
    return "a text" if printed and beginning else ""


def is_system_error(error: Exception) -> bool:
    """True if a file could not be read because of the system: its content may be good.

    Libraries that seek in damaged files raise EINVAL, and HDF5 errors that have no errno.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def shortened(name: str, longest: int) -> str:
    """The name, if it has at most `longest` bytes; or its beginning and a digest of the whole, in as many."""
    encoded = os.fsencode(name)
    if len(encoded) <= longest:
        return name
    end = f"-{hashlib.sha256(encoded).hexdigest()[:12]}"
    return encoded[: longest - len(end)].decode("utf-8", "ignore") + end


def clip_file_name(clip: str) -> str:
    """The name, without a suffix, of files on a clip: its id with __ for /, shortened to 200 bytes.

    A < becomes ＜: it would be markup in pages that show names of files.
    """
    return shortened(clip.replace("/", "__").replace("<", "＜"), 200)


def part_name(path: Path, suffix: str = "") -> Path:
    """A new name beside `path` under which it is written: hidden, and never longer than file systems allow.

    No two writers share one, so that a job that was given up but still runs cannot write into the file of the next.
    """
    end = f".{MACHINE}-{os.getpid()}-{next(PARTS)}.part{suffix}"
    return path.with_name(f".{shortened(path.name, LONGEST_NAME - 1 - len(end))}{end}")


@cache  # once a folder and process: folders may hold many files
def remove_left_parts(folder: Path) -> None:
    """Remove what processes of this machine, or this container, that were killed have left in a folder."""
    for entry in os.scandir(folder):
        found = LEFT_PART.search(entry.name)
        if found and found["machine"] == MACHINE and not _is_alive(int(found["process"])):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


@contextmanager
def full_disk_named(temporary: Path, path: Path) -> Iterator[None]:
    """If the block says of `temporary`, or of no file, that the disk is full, say it of `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def complete_file(path: Path, suffix: str = "") -> Iterator[Path]:
    """A temporary name beside `path` to write under, renamed to `path` on success and removed on failure.

    `suffix` ends the temporary name, for libraries that go by it. The content is on the disk before it gets its name:
    an error that the system reports late is noticed, and a power failure leaves no empty file. If the disk is full, the
    OSError names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_parts(path.parent)
    temporary = part_name(path, suffix)
    try:
        with full_disk_named(temporary, path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; on success it replaces `path`, on failure it is removed.

    Of a link, the link is replaced, and what it leads to stays. If the disk is full, the OSError names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_parts(path.parent)
    temporary = part_name(path)
    temporary.mkdir()
    try:
        with full_disk_named(temporary, path):
            yield temporary
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def visible_files(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden, nor in hidden folders, by name; those of sub-folders come last.

    Links are followed, except to a folder that holds them, which would be listed without end.

    Raises:
        UserError: the system does not let a folder be read.
    """

    def below(here: Path, above: frozenset[str]) -> Iterator[Path]:
        try:
            entries = sorted(entry for entry in here.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise UserError(
                f"folder '{here}' cannot be read ({error.strerror}); let it be read, or hide it as .NAME"
            ) from None
        yield from (entry for entry in entries if entry.is_file())
        for entry in entries:
            if entry.is_dir() and (real := os.path.realpath(entry)) not in above:
                yield from below(entry, above | {real})

    real_folder = Path(os.path.realpath(folder))
    yield from below(folder, frozenset(map(str, (real_folder, *real_folder.parents))))


def grants_locks(folder: Path) -> bool:
    """True if files in a folder can be locked, which some network file systems refuse."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            return error.errno not in NO_LOCKS
    return True


class DiskFile(io.FileIO):
    """A new file for libraries that lose errors of writing or crash by them, as HDF5 and torch do on a full disk.

    They never see an error: the first one is kept, and `check` and `close` raise it. What is written after it is lost.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        """Write all bytes; returns their number, also after an error."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while len(rest) and self._error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Change the file's size."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = self._error or error
            return self.tell() if size is None else size

    def check(self) -> None:
        """Raise the first error that there was; it names the file."""
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror, str(self.name)) from None

    def close(self) -> None:
        """Close the file; raise the first error that there was."""
        if self.closed:
            return
        try:
            super().close()
        except OSError as error:
            self._error = self._error or error
        self.check()


def own_folder(path: Path) -> Path:
    """The folder, made if it is missing; a new one if others could have put code into it that would be run."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
        return path
    return Path(tempfile.mkdtemp(prefix=path.name))
