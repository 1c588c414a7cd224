"""Logging: modules made quieter, and a log file whose disk may be full."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_warnings(*modules: str) -> Iterator[None]:
    """Within the block, these modules and those below them log only warnings and errors."""
    loggers = [logging.getLogger(module) for module in modules]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class LogFile(logging.FileHandler):
    """A log file; if it cannot be written any more, that is said once, and the command goes on."""

    _complained = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say that the log cannot be written; without this, logging prints a traceback for every line."""
        if not self._complained:
            self._complained = True
            print(
                f"stp: WARNING: {self.baseFilename}: the log cannot be written ({sys.exc_info()[1]})", file=sys.stderr
            )
