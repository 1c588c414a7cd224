"""What is logged."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_warnings(*modules: str) -> Iterator[None]:
    """While the block runs, modules and what lies below them log warnings and errors only."""
    loggers = [logging.getLogger(module) for module in modules]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
