"""Files and folders that appear under their final name only when they are complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write under, renamed to `path` on success and removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; on success it replaces `path`, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def visible_files(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden, nor in hidden folders, by name; those of sub-folders come last.

    Links are followed, except to a folder that holds them, which would be listed without end. A folder that cannot be
    read raises its OSError.
    """

    def below(here: Path, above: frozenset[str]) -> Iterator[Path]:
        entries = sorted(entry for entry in here.iterdir() if not entry.name.startswith("."))
        yield from (entry for entry in entries if entry.is_file())
        for entry in entries:
            if entry.is_dir() and (real := os.path.realpath(entry)) not in above:
                yield from below(entry, above | {real})

    real_folder = Path(os.path.realpath(folder))
    yield from below(folder, frozenset(map(str, (real_folder, *real_folder.parents))))
