"""The state of a training by its loss: by curves whose answer is known."""

import numpy as np
import pytest

from stp.training.health import loss_health

STEADY = np.full(40, 0.01)
FALLEN = np.array([0.01] * 30 + [0.001] * 10)


def settled(epochs: int = 40) -> np.ndarray:
    """A loss that falls from 2 to 0.5 in the first third and stays there, with the noise of batches."""
    noise = np.random.default_rng(0).normal(0, 0.01, epochs)
    return np.maximum(0.5, 2 - 4.5 * np.arange(epochs) / epochs) + noise


def test_a_loss_that_fell_and_stays_is_well() -> None:
    assert loss_health(settled(), STEADY) == loss_health(settled(), FALLEN) == "ok"
    assert loss_health(np.array([2.0, 1.0, 0.9]), np.full(3, 0.1)) == "ok"  # too few epochs to tell


@pytest.mark.parametrize("end", [0.8, 2.5])
def test_a_loss_that_rises_again_has_diverged(end: float) -> None:
    risen = settled()
    risen[-10:] = np.linspace(0.5, end, 10)
    assert loss_health(risen, STEADY) == "diverged"
    one_epoch = settled()
    one_epoch[-3] = end  # of a fifth that is well on the whole, or not
    assert loss_health(one_epoch, STEADY) == ("ok" if end < 1 else "diverged")


def test_a_loss_that_ends_where_it_began_has_diverged() -> None:
    assert loss_health(np.full(40, 1.95), STEADY) == "diverged"


def test_a_loss_that_would_lose_a_tenth_in_a_tenth_of_the_schedule_is_still_falling() -> None:
    """exp(-t / 30) loses 1 - exp(-4 / 30) = 12 % in four epochs, exp(-t / 60) 6 %."""
    assert loss_health(2 * np.exp(-np.arange(40) / 30), STEADY) == "still falling"
    assert loss_health(2 * np.exp(-np.arange(40) / 60), STEADY) == "ok"


def test_a_fall_with_the_learning_rate_is_none_if_the_loss_is_level_since() -> None:
    loss = np.array([2.0] * 5 + [1.0] * 29 + [0.4] * 6)
    rate = np.array([0.01] * 34 + [0.001] * 6)
    assert loss_health(loss, rate) == "ok"
    assert loss_health(loss, STEADY) == "still falling"
