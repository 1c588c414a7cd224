"""Choosing what is logged."""

import logging
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
