"""The name of a run, which is also its path below `runs`, `state` and `tensorboard`."""

import re
from dataclasses import dataclass

from stp.errors import UserError

NAME = re.compile(r"(?P<input>[^/]+)/(?P<method>[^/]+)/fold(?P<fold>\d+)/seed(?P<seed>\d+)")


@dataclass(frozen=True)
class RunName:
    """A method that was trained on an input (one modality, or several joined by `+`), a fold and from a seed."""

    input: str
    method: str
    fold: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.input}/{self.method}/fold{self.fold}/seed{self.seed}"

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the run sees."""
        return tuple(self.input.split("+"))

    @classmethod
    def parse(cls, text: str) -> "RunName":
        """The name that `str` gives; UserError for any other text."""
        match = NAME.fullmatch(text)
        if not match:
            raise UserError(f"'{text}' is not the name of a run, INPUT/METHOD/foldN/seedS")
        return cls(match["input"], match["method"], int(match["fold"]), int(match["seed"]))


def pyramid_levels(name: str) -> int:
    """The levels of a pyramid, T of `T-level` and `aligned-T-level`; 0 of all other methods."""
    levels = re.fullmatch(r"(?:aligned-)?(\d+)-level", name)
    return int(levels[1]) if levels else 0


def method_order(name: str) -> tuple[int, int]:
    """Sorting key of methods: the baseline, the pyramids by their levels, then all others, as they come."""
    if name == "baseline":
        return 0, 0
    levels = re.fullmatch(r"(\d+)-level", name)
    return (1, int(levels[1])) if levels else (2, 0)
