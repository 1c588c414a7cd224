"""The application: its logging, and its exit when something is wrong."""

import errno
import gc
import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stp import __version__
from stp.errors import UserError
from stp.system.files import FULL
from stp.system.logs import LogFile
from stp.system.progress import choose_style

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)
log = logging.getLogger("stp")
# What people call; the other subcommands are the stages, which the workflow calls.
DAILY = ("check", "run", "init", "doctor", "runs", "predict", "explain", "export", "flow")
# Refusals by the machine, which are not errors of the program.
REFUSED = (*FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOLCK)


def set_panels() -> None:
    """Divide the help of all subcommands, once they are known, into those that people call and the stages."""
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        command.rich_help_panel = "Every day" if name in DAILY else "Stages of the pipeline"


def print_version(wanted: bool) -> None:
    """Print the version and exit, if that is wanted."""
    if wanted:
        typer.echo(f"stp {__version__}")
        raise typer.Exit


@app.callback()
def logging_options(
    log_file: Annotated[
        Path | None,
        typer.Option("--log", help="Log file; the terminal then shows only warnings and, every minute, the progress."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Recognise micro actions in videos with a segment-level temporal pyramid."""
    choose_style(watched=sys.stderr.isatty(), shared=log_file is not None)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # bad videos are reported in our own words
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("stp: %(levelname)s: %(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = LogFile(log_file, mode="w", encoding="utf-8", errors="backslashreplace")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(file)
        terminal.setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, handlers=handlers)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports every glyph in a pdf


def machine_words(error: OSError) -> str:
    """One line on a refusal by the machine: the file, the reason and, for a full disk, how to go on."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        reason = f"the disk is full ({reason}); make room and run the command again"
    return f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise a UserError for a name that is not UTF-8: reports and HDF5 could not hold it."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserError(f"{argument!a}: the name is not UTF-8: rename the file or its folder") from None


def collect_less() -> None:
    """Let Python look for garbage less often.

    torch and what it imports are 160,000 objects that live to the end; to look through them again and again takes a
    fifth of the time of a command that hardly does more than start.
    """
    gc.set_threshold(10_000, 20, 20)


def main() -> None:
    """Run a subcommand; a user's mistake gives one or two lines on standard error, no traceback, and exit status 1."""
    collect_less()
    try:
        check_arguments(sys.argv[1:])
        app()
    except UserError as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception as error:
        # A file's name comes with errors of opening; where there is none, only the surest refusals are taken for one.
        if isinstance(error, OSError) and error.errno and (error.filename or error.errno in REFUSED):
            log.error("%s", machine_words(error))
            sys.exit(1)
        log.critical("unexpected error, please report it", exc_info=True)
        sys.exit(2)


def program() -> NoReturn:
    """`main` as a whole process, which ends without taking its objects apart: with torch that takes 0.2 s.

    All files are closed by then. If output cannot be flushed, or threads still work, Python ends the process as always.
    """
    status = 0
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        status = end.code or 0
    if all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        with suppress(OSError, ValueError):
            for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by the caller
                stream.flush()
            os._exit(status)
    sys.exit(status)
