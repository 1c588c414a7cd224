"""Facts about a trained run, as it knows them itself. Trainings import this, so it imports nothing that is slow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunFacts:
    """Facts that tables give about a trained run beside its accuracy.

    pretraining   the initial weights: none, the name of a data set, or a path
    parameters    number of learnt values
    gmac          billions of multiplications with additions for one segment in one crop
    """

    pretraining: str
    parameters: int
    gmac: float
