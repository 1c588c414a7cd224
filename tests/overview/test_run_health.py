"""The health of runs: one that learned some of its classes is not well, however many clips it recognises."""

import numpy as np
import pandas as pd
import pytest

from stp.data.run_name import RunName
from stp.evaluation.learned_classes import BLIND, FEWEST, unlearned_classes
from stp.evaluation.scores import Scores
from stp.evaluation.significance import DOUBT, p_above_chance
from stp.overview.health import STATES, run_health

CLASSES = ("hug", "kick", "nod", "point", "punch", "shake", "wave")
RUN = RunName("rgb", "3-level", 1)


def scored(predicted: list[int], each: int) -> Scores:
    """Scores of `each` clips of every class, in the order of the classes, which are taken for these classes."""
    values = np.zeros((len(predicted), 1, len(CLASSES)), np.float32)
    values[np.arange(len(predicted)), 0, predicted] = 1
    labels = np.repeat(np.arange(len(CLASSES)), each)
    return Scores(RUN, CLASSES, tuple(map(str, range(len(labels)))), labels, values)


def log(losses: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"loss": losses, "class_accuracy": 0.5, "learning_rate": 0.01})


WELL = log([2.0] + 20 * [0.2])


def state(predicted: list[int], each: int, losses: pd.DataFrame = WELL) -> str:
    (found,) = run_health([scored(predicted, each)], {RUN: losses})
    assert found.state in STATES
    return found.state


def two_learned(each: int) -> list[int]:
    """The first two classes are recognised, and every clip of the others is taken for the next of them in turn."""
    return [label if label < 2 else 2 + (place % 5) for label in range(7) for place in range(each)]


def test_a_run_that_learned_two_of_seven_classes_is_not_well() -> None:
    scores = scored(two_learned(16), 16)
    assert p_above_chance(scores.labels, scores.video_scores().argmax(1), 7) < DOUBT / 1000  # which says nothing of it
    (found,) = run_health([scores], {RUN: WELL})
    assert found.state == BLIND
    assert found.unlearned == CLASSES[2:]
    assert found.never == ()


def test_a_run_that_never_predicts_some_classes_is_not_well() -> None:
    predicted = [min(label, 3) for label in range(7) for _ in range(6)]
    (found,) = run_health([scored(predicted, 6)], {})
    assert (found.state, found.never) == (BLIND, CLASSES[4:])
    assert set(found.never) <= set(found.unlearned)


@pytest.mark.parametrize("wrong", [0, 4, 8])
def test_a_run_that_learned_every_class_is_well_with_errors_too(wrong: int) -> None:
    predicted = [(label + (place < wrong)) % 7 for label in range(7) for place in range(16)]
    assert state(predicted, 16) == "ok"


def test_few_clips_of_a_class_prove_nothing() -> None:
    missed = [0 if label == 1 else label for label in range(7) for _ in range(FEWEST - 1)]
    (found,) = run_health([scored(missed, FEWEST - 1)], {RUN: WELL})
    assert (found.state, found.unlearned, found.never) == ("ok", (), ("kick",))
    assert state([0 if label == 1 else label for label in range(7) for _ in range(FEWEST)], FEWEST) == BLIND


def test_a_class_without_others_beside_it_is_not_judged() -> None:
    labels = np.array(20 * [0] + 2 * [1])
    assert list(unlearned_classes(labels, np.zeros(22, int), 3)) == []


def test_of_several_states_the_worst_is_said() -> None:
    diverged, falling = log([2.0] + 20 * [2.5]), log(list(np.linspace(2, 0.2, 40)))
    everything = [label for label in range(7) for _ in range(16)]
    assert [state(everything, 16, loss) for loss in (diverged, falling, WELL)] == ["diverged", "still falling", "ok"]
    some = two_learned(16)
    assert [state(some, 16, loss) for loss in (diverged, falling, WELL)] == ["diverged", BLIND, BLIND]
    constant = [0] * (7 * 16)
    assert {state(constant, 16, loss) for loss in (diverged, falling, WELL)} == {"at chance"}


@pytest.mark.parametrize("seed", range(5))
def test_the_test_is_that_of_fisher(seed: int) -> None:
    """The same classes as by scipy's table of two rows and two columns."""
    from scipy.stats import fisher_exact

    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 60)
    predicted = np.where(rng.random(60) < 0.3, labels, rng.integers(0, 5, 60))
    expected = []
    for number in range(5):
        own, given = labels == number, predicted == number
        counts = [[(own & given).sum(), (own & ~given).sum()], [(~own & given).sum(), (~own & ~given).sum()]]
        if fisher_exact(counts, "greater").pvalue >= 0.05:
            expected.append(number)
    assert list(unlearned_classes(labels, predicted, 5)) == expected
