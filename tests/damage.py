"""Damage to files, for tests that it is noticed."""

from collections.abc import Callable
from typing import Any

from stp.errors import UserError


def flipped(content: bytes, bit: int) -> bytes:
    """The content with one bit flipped."""
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def outcome(read: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, or the error of one line that it raises for a user; any other error is raised."""
    try:
        return read(*arguments)
    except UserError as error:
        if "\n" in str(error):
            raise
        return error
