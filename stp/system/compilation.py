"""numba's compiled code, kept for later runs where some folder can be written."""

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from stp.system.files import own_folder

log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these options, whose compiled code is kept for later runs.

    numba keeps it in NUMBA_CACHE_DIR, beside the module or in the user's cache folder. Where none of them can be
    written, as in a container that is run by another user, it is kept in a temporary folder, and a warning says so.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except (RuntimeError, OSError):  # numba finds no folder, or cannot make the one that was named
            use_temporary_cache()
            return numba.njit(cache=True, **options)(function)

    return decorate


def use_temporary_cache() -> None:
    """Let numba, also in child processes, keep compiled code in a folder of this user below the temporary folder."""
    folder = own_folder(Path(tempfile.gettempdir()) / f"stp-numba-{os.getuid()}")
    known = os.environ.get("NUMBA_CACHE_DIR")
    known = f"in {known}" if known else "beside stp or in the user's cache folder"
    log.warning("compiled code cannot be written %s: it is kept in %s; NUMBA_CACHE_DIR names another", known, folder)
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
