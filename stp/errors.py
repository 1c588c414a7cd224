"""The one exception that the command line shows to a user without a traceback."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake in the user's input: names the key or file, its value, what is allowed and how to fix it."""


@contextmanager
def keys_named(section: str, keys: Collection[str]) -> Iterator[None]:
    """Within the block, an error about one of these keys of section `model` names it as a key of `section` instead."""
    try:
        yield
    except UserError as error:
        key, _, rest = str(error).partition(":")
        name = key.removeprefix("model.")
        if name == key or name not in keys:
            raise
        raise UserError(f"{section}.{name}:{rest}") from None
