"""The health of each training: did its loss fall and settle, and did it learn to tell its classes apart?

A class is learned if its name is given to a larger share of its own test clips than of all others, by the one-sided
Fisher's exact test. Mean accuracy does not show that: a run that tells two of seven classes apart, and guesses among
the others, beats chance by far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stp.data.run_name import RunName
from stp.evaluation.learned_classes import BLIND, FEWEST, unlearned_classes
from stp.evaluation.scores import Scores
from stp.evaluation.significance import DOUBT, LARGEST_P
from stp.training.health import loss_health, run_state

STATES = {  # of several that apply to a run, the first is its state
    "at chance": f"its test clips are recognised no better than by chance (one-sided binomial test, p of {DOUBT:g} or "
    "more)",
    "diverged": "the loss ends where it began or above, or 25 % above its lowest",
    BLIND: f"a class with {FEWEST} test clips or more is not learned: its clips are given its name no more often than "
    f"other clips are (one-sided Fisher's exact test, p of {LARGEST_P:g} or more)",
    "still falling": "the loss would fall by another 10 % in a tenth of the schedule: more epochs may help",
    "ok": "the loss fell and settled, the run beats chance, and it learned every class",
}


@dataclass(frozen=True)
class RunHealth:
    """A run's state, one of STATES, and what it is told by.

    trained    class accuracy in percent at the end of the training, NaN without a log
    unlearned  names of the classes that the test clips show not to be learned (`unlearned_classes`)
    never      names of the classes that have test clips, of which none is ever predicted
    """

    name: RunName
    state: str
    trained: float
    unlearned: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


def run_health(scores: Sequence[Scores], logs: Mapping[RunName, pd.DataFrame]) -> list[RunHealth]:
    """The health of every run that was scored, by its log, where there is one."""
    found = []
    for item in scores:
        log = logs.get(item.run)
        predicted, number = item.video_scores().argmax(1), len(item.classes)
        unlearned = unlearned_classes(item.labels, predicted, number)
        never = np.setdiff1d(item.labels, predicted)
        loss = "ok" if log is None else loss_health(log["loss"].to_numpy(float), log["learning_rate"].to_numpy(float))
        state = run_state(loss, item.labels, predicted, number)
        trained = float("nan") if log is None else 100 * float(log["class_accuracy"].iloc[-1])
        names = (tuple(item.classes[place] for place in places) for places in (unlearned, never))
        found.append(RunHealth(item.run, state, trained, *names))
    return found
