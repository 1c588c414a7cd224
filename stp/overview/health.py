"""Whether each training went well: its loss fell and settled, and its test clips are recognised above chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from stp.data.run_name import RunName
from stp.evaluation.scores import Scores
from stp.evaluation.significance import DOUBT, p_above_chance
from stp.training.health import loss_health

STATES = {
    "at chance": "its test clips are recognised no better than by chance (one-sided binomial test, p of 0.01 or more)",
    "diverged": "the loss ends where it began or above, or 25 % above its lowest",
    "still falling": "the loss would fall by another 10 % in a tenth of the schedule: more epochs may help",
    "ok": "the loss fell and settled, and the run beats chance",
}


@dataclass(frozen=True)
class RunHealth:
    """A run's state, one of STATES, and its class accuracies in percent: in training at the end (NaN without a log)."""

    name: RunName
    state: str
    trained: float


def run_health(scores: Sequence[Scores], logs: Mapping[RunName, pd.DataFrame]) -> list[RunHealth]:
    """The health of every run that was scored, by its log, where there is one."""
    found = []
    for item in scores:
        log = logs.get(item.run)
        predicted = item.video_scores().argmax(1)
        if p_above_chance(item.labels, predicted, len(item.classes)) >= DOUBT:
            state = "at chance"
        elif log is None:
            state = "ok"
        else:
            state = loss_health(log["loss"].to_numpy(float), log["learning_rate"].to_numpy(float))
        trained = float("nan") if log is None else 100 * float(log["class_accuracy"].iloc[-1])
        found.append(RunHealth(item.run, state, trained))
    return found
