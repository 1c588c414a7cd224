"""The health of a training: a loss that fell and has settled, and test clips that are recognised."""

import numpy as np

from stp.evaluation.learned_classes import BLIND, unlearned_classes
from stp.evaluation.significance import DOUBT, p_above_chance

FELL = 0.01  # of the first epoch's loss, by which it must have fallen
RISE = 0.25  # the loss at the end over its lowest that counts as risen
FALL = 0.10  # of the loss, which it would lose in another tenth of the schedule, that counts as still falling


def loss_health(loss: np.ndarray, learning_rate: np.ndarray) -> str:
    """`ok`, `diverged` or `still falling`.

    `diverged`: over the last fifth of the epochs, the mean loss is not FELL below the first epoch's, or more than
    RISE above its lowest over as many epochs. `still falling`: by the straight line through the last quarter of the
    epochs, or through those since the learning rate last fell if they are fewer, it would fall by FALL in another
    tenth of the schedule; three epochs at least are looked at. Trainings of fewer than four epochs are `ok`.

    Args:
        loss: float (epochs,), mean training loss.
        learning_rate: float (epochs,).
    """
    epochs = len(loss)
    if epochs < 4:
        return "ok"
    width = max(1, round(epochs / 5))
    means = np.convolve(loss, np.ones(width) / width, "valid")
    if means[-1] > (1 - FELL) * loss[0] or means[-1] > (1 + RISE) * means.min():
        return "diverged"
    falls = np.flatnonzero(np.diff(learning_rate) < 0)
    since = epochs - 1 - falls[-1] if len(falls) else epochs
    last = loss[-max(3, min(since, epochs // 4)) :]
    slope = np.polyfit(np.arange(len(last)), last, 1)[0]
    return "still falling" if -slope * max(1, epochs / 10) > FALL * last.mean() else "ok"


def run_state(loss_state: str, labels: np.ndarray, predicted: np.ndarray, classes: int) -> str:
    """`at chance`, `diverged`, `blind to some classes`, or what the loss says, `loss_state`: the first that applies.

    Args:
        loss_state: by `loss_health`.
        labels: true classes of the test clips, int (clips,).
        predicted: predicted ones, int (clips,).
        classes: their number.
    """
    if p_above_chance(labels, predicted, classes) >= DOUBT:
        return "at chance"
    if loss_state != "diverged" and len(unlearned_classes(labels, predicted, classes)):
        return BLIND
    return loss_state
