"""Requests to stop, by signal: SIGTERM (schedulers), SIGUSR1 (SLURM's warning of a time limit) or Ctrl-C."""

import os
import signal
from types import FrameType, TracebackType

EXIT_STATUS = os.EX_TEMPFAIL  # 75, "temporary failure, try again": a stopped command continues when it is run again


class Stopped(Exception):
    """Work was stopped on request, at a place from which it can continue; the message says where."""


class StopRequest:
    """Within the block these signals only set `signal`; the code in the block checks it and stops at a safe place.

    A second Ctrl-C interrupts at once. It works in the main thread only, as Python's signals do.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)

    def __enter__(self) -> "StopRequest":
        self._previous = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
