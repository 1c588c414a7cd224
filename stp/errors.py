"""The one exception that the command line shows to a user without a traceback."""

import difflib
from collections.abc import Collection, Iterable, Iterator
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


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """An error ends the block alone: its words join the problems, each on one line, unless they are among them."""
    try:
        yield
    except UserError as error:
        words = " ".join(line.strip() for line in str(error).splitlines())
        if words not in problems:
            problems.append(words)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question after the known name that is nearest to a misspelt one; empty where none is near."""
    return "".join(f"did you mean '{near}'?" for near in difflib.get_close_matches(name, list(known), n=1))
